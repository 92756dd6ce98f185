/* A neural audio decoder, live, in C: chunks through a .tflite file by LiteRT's C API, checked against Keras's numbers.

     pip install ai-edge-litert==2.3.0             into SITE, the folder of Python's packages
     gcc -O2 -o live_decoder live_decoder.c SITE/ai_edge_litert/libLiteRt.so -lm -Wl,-rpath,SITE/ai_edge_litert
     python ../live_decoder.py --for-c FOLDER      writes the three files, and says the line below
     ./live_decoder FOLDER/decoder.tflite FOLDER/chunks.f32 FOLDER/expected.f32 LATENCY [TOLERANCE]

   The signature `step` of such a file takes a chunk `x` and every state by its name; it gives samples `y`, and by the
   same names the states that the next step takes. `flush`, where there is one, takes the states and gives the samples
   that the end releases. The numbers are raw float32, of one stream; the first LATENCY of them are to be left out. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "litert.h"

/* Both return false from the function that they stand in; main frees whatever was made until then. */
#define REQUIRE(holds, ...) do { \
    if (!(holds)) return fprintf(stderr, "live_decoder: " __VA_ARGS__), fputc('\n', stderr), false; \
  } while (0)
#define TRY(call) do { int status = (call); REQUIRE(!status, "%s gives status %d", #call, status); } while (0)

enum { MOST = 256 }; /* inputs or outputs of a signature */

/* A signature and its buffers. In turn 0 a state is read from its first buffer and written to its second; in turn 1
   the other way round, so that no state is ever copied. */
typedef struct {
  size_t index, takes, gives;
  LiteRtTensorBuffer x, y, in[2][MOST], out[2][MOST];
} Signature;

typedef struct {
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  Signature step, flush;
  bool flushes;
  size_t states;
  struct { const char *name; LiteRtTensorBuffer buffer[2]; } state[MOST];
} Decoder;

/* A new buffer for an input or output, all zeros: so begins every state. */
static bool make(Decoder *d, size_t index, LiteRtSignature own, bool output, size_t i, LiteRtTensorBuffer *made) {
  LiteRtTensor tensor;
  LiteRtRankedTensorType type;
  LiteRtTensorBufferRequirements needs;
  TRY((output ? LiteRtGetSignatureOutputTensorByIndex : LiteRtGetSignatureInputTensorByIndex)(own, i, &tensor));
  TRY(LiteRtGetRankedTensorType(tensor, &type));
  TRY((output ? LiteRtGetCompiledModelOutputBufferRequirements
              : LiteRtGetCompiledModelInputBufferRequirements)(d->compiled, index, i, &needs));
  TRY(LiteRtCreateManagedTensorBufferFromRequirements(d->environment, &type, needs, made));
  TRY(LiteRtClearTensorBuffer(*made));
  return true;
}

/* The buffers of input or output `i` of a signature. */
static bool bind(Decoder *d, Signature *signature, LiteRtSignature own, bool output, size_t i) {
  const char *name;
  TRY((output ? LiteRtGetSignatureOutputName : LiteRtGetSignatureInputName)(own, i, &name));
  LiteRtTensorBuffer(*ends)[MOST] = output ? signature->out : signature->in;
  LiteRtTensorBuffer *single = !strcmp(name, "x") ? &signature->x : !strcmp(name, "y") ? &signature->y : NULL;
  if (single) {
    if (!make(d, signature->index, own, output, i, single)) return false;
    ends[0][i] = ends[1][i] = *single;
    return true;
  }
  size_t k = 0;
  while (k < d->states && strcmp(d->state[k].name, name)) k++;
  if (k == d->states) { /* a state that is new */
    REQUIRE(k < MOST, "there may be %d states at most", MOST);
    d->states++;
    d->state[k].name = name;
    for (int turn = 0; turn < 2; turn++)
      if (!make(d, signature->index, own, output, i, &d->state[k].buffer[turn])) return false;
  }
  for (int turn = 0; turn < 2; turn++) ends[turn][i] = d->state[k].buffer[turn ^ output];
  return true;
}

/* Look a signature up by its name and give it its buffers. */
static bool prepare(Decoder *d, Signature *signature, const char *name, bool *found) {
  LiteRtSignature own = NULL;
  size_t count;
  const char *key = "";
  TRY(LiteRtGetNumModelSignatures(d->model, &count));
  for (size_t i = 0; i < count && strcmp(key, name); i++) {
    signature->index = i;
    TRY(LiteRtGetModelSignature(d->model, i, &own));
    TRY(LiteRtGetSignatureKey(own, &key));
  }
  *found = !strcmp(key, name);
  if (!*found) return true;
  TRY(LiteRtGetNumSignatureInputs(own, &signature->takes));
  TRY(LiteRtGetNumSignatureOutputs(own, &signature->gives));
  REQUIRE(signature->takes <= MOST && signature->gives <= MOST, "%s may have %d inputs or outputs at most", name, MOST);
  for (size_t i = 0; i < signature->takes; i++)
    if (!bind(d, signature, own, false, i)) return false;
  for (size_t i = 0; i < signature->gives; i++)
    if (!bind(d, signature, own, true, i)) return false;
  REQUIRE(signature->y, "%s must give samples called y", name);
  return true;
}

static bool open_decoder(Decoder *d, const char *path) {
  bool found;
  TRY(LiteRtCreateEnvironment(0, NULL, &d->environment));
  TRY(LiteRtCreateModelFromFile(d->environment, path, &d->model));
  TRY(LiteRtCreateOptions(&d->options));
  TRY(LiteRtSetOptionsHardwareAccelerators(d->options, kHardwareCpu));
  TRY(LiteRtCreateCompiledModel(d->environment, d->model, d->options, &d->compiled));
  if (!prepare(d, &d->step, "step", &found)) return false;
  REQUIRE(found && d->step.x, "a live file has a signature step that takes a chunk called x; %s has none", path);
  return prepare(d, &d->flush, "flush", &d->flushes);
}

static void close_decoder(Decoder *d) {
  LiteRtTensorBuffer single[] = {d->step.x, d->step.y, d->flush.y};
  for (size_t i = 0; i < 3; i++)
    if (single[i]) LiteRtDestroyTensorBuffer(single[i]);
  for (size_t k = 0; k < 2 * d->states; k++)
    if (d->state[k / 2].buffer[k % 2]) LiteRtDestroyTensorBuffer(d->state[k / 2].buffer[k % 2]);
  if (d->compiled) LiteRtDestroyCompiledModel(d->compiled);
  if (d->options) LiteRtDestroyOptions(d->options);
  if (d->model) LiteRtDestroyModel(d->model);
  if (d->environment) LiteRtDestroyEnvironment(d->environment);
}

/* The samples so far against those expected, and the time that they took. */
typedef struct {
  FILE *expected;
  size_t latency, count; /* numbers still to be left out, numbers compared */
  double signal, noise, worst, seconds;
} Comparison;

static bool run(Decoder *d, Signature *signature, int turn, Comparison *seen) {
  void *samples;
  size_t bytes;
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  TRY(LiteRtRunCompiledModel(d->compiled, signature->index, signature->takes, signature->in[turn], signature->gives,
                             signature->out[turn]));
  clock_gettime(CLOCK_MONOTONIC, &end);
  seen->seconds += (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
  TRY(LiteRtGetTensorBufferPackedSize(signature->y, &bytes));
  TRY(LiteRtLockTensorBuffer(signature->y, &samples, kLockToRead));
  bool enough = true; /* here an app plays the samples */
  for (const float *y = samples, *end_y = y + bytes / sizeof *y; y < end_y && enough; y++) {
    if (seen->latency) {
      seen->latency--;
      continue;
    }
    float expected = 0;
    enough = fread(&expected, sizeof expected, 1, seen->expected) == 1;
    double error = fabs(*y - expected);
    seen->count++;
    seen->signal += (double)expected * expected;
    seen->noise += error * error; /* not a number once any sample is none */
    seen->worst = fmax(seen->worst, error);
  }
  TRY(LiteRtUnlockTensorBuffer(signature->y));
  REQUIRE(enough, "the stream gives more samples than are expected");
  return true;
}

static bool stream(Decoder *d, FILE *chunks, double tolerance, Comparison *seen) {
  void *x;
  size_t bytes, steps = 0;
  TRY(LiteRtGetTensorBufferPackedSize(d->step.x, &bytes));
  for (;; steps++) {
    TRY(LiteRtLockTensorBuffer(d->step.x, &x, kLockToWrite));
    size_t given = fread(x, 1, bytes, chunks);
    TRY(LiteRtUnlockTensorBuffer(d->step.x));
    REQUIRE(given == bytes || !given, "the chunks must have %zu bytes each; the last has %zu", bytes, given);
    if (!given) break;
    if (!run(d, &d->step, steps % 2, seen)) return false;
  }
  REQUIRE(steps, "there must be a chunk");
  double seconds = seen->seconds;
  if (d->flushes && !run(d, &d->flush, steps % 2, seen)) return false;
  REQUIRE(fgetc(seen->expected) == EOF, "more samples are expected than the stream gives");
  printf("%zu steps, %zu samples, %.1f us a step; max error %.3g, %.1f dB\n", steps, seen->count,
         1e6 * seconds / (double)steps, seen->worst, 10 * log10(seen->signal / seen->noise));
  REQUIRE(seen->worst <= tolerance && !isnan(seen->noise), "the error must be at most %g", tolerance);
  return true;
}

int main(int count, char **words) {
  if (count < 5 || count > 6) {
    fprintf(stderr, "usage: %s MODEL.tflite CHUNKS.f32 EXPECTED.f32 LATENCY [TOLERANCE]\n", words[0]);
    return 2;
  }
  FILE *chunks = fopen(words[2], "rb"), *expected = fopen(words[3], "rb");
  if (!chunks || !expected) perror(chunks ? words[3] : words[2]);
  Decoder *d = calloc(1, sizeof *d);
  Comparison seen = {.expected = expected, .latency = strtoul(words[4], NULL, 10)};
  bool good = chunks && expected && d && open_decoder(d, words[1]) &&
              stream(d, chunks, count == 6 ? strtod(words[5], NULL) : 1e-4, &seen);
  if (d) close_decoder(d);
  free(d);
  if (expected) fclose(expected);
  if (chunks) fclose(chunks);
  return !good;
}
