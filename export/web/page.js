// The page: what is chosen, the decoding itself, and what it shows.
import {LiveDecoder} from "./decoder.js";
import {Spectrogram, Steps, Waveform} from "./drawings.js";
import {Decibels, percentiles} from "./measures.js";
import {readNpy} from "./npy.js";
import {Player, Silence} from "./player.js";
import {Stream} from "./stream.js";

const LEAD = 0.25; // seconds that are decoded ahead of the sound
const NAMES = {wasm: "WebAssembly", webgpu: "WebGPU"};
const part = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`[name=${name}]:checked`).value;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const waveform = new Waveform(part("waveform"));
const spectrogram = new Spectrogram(part("spectrogram"));
const steps = new Steps(part("steps"));
let offered, opened, stopping;

const say = (state, text) => {
  document.body.dataset.state = state;
  part("status").textContent = text;
  part("go").disabled = state === "loading";
  part("go").textContent = state === "decoding" ? "Stop" : "Decode and play";
};

// Runs what may fail; a failure is one line on the page.
async function told(work) {
  try {
    await work();
  } catch (error) {
    say("failed", String(error.message ?? error).split("\n")[0]);
  }
}

async function fetched(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name} must be beside the page: ${response.status}`);
  return response;
}

async function begin() {
  const manifest = await (await fetched("manifest.json")).json();
  const buffer = async (name) => (await fetched(name)).arrayBuffer();
  const files = ["decoder", "input", "expected"].map((one) => buffer(manifest[one]));
  const [content, input, expected] = await Promise.all(files);
  offered = {
    name: manifest.title,
    content: new Uint8Array(content),
    input: readNpy(input),
    expected: readNpy(expected),
    rate: manifest.sample_rate,
  };
  const adapter = await navigator.gpu?.requestAdapter();
  document.querySelector("[value=webgpu]").disabled = !adapter;
  const {vendor, architecture, description} = adapter?.info ?? {};
  part("gpu").textContent = description || architecture || vendor || "not here";
  say("ready", `Ready: ${offered.name}`);
}

// The decoder for the file and the accelerator, as long as both stay.
async function decoderFor(file, accelerator) {
  if (opened?.file !== file || opened.accelerator !== accelerator) {
    opened?.decoder.close();
    opened = undefined;
    opened = {file, accelerator, decoder: await LiveDecoder.open(file.content, accelerator)};
  }
  return opened.decoder;
}

async function decode() {
  const file = offered, accelerator = chosen("accelerator"), live = chosen("pace") === "live";
  stopping = false;
  say("loading", `Loading LiteRT.js for ${NAMES[accelerator]}`);
  const player = part("sound").checked && await Player.start(file.rate) || new Silence(file.rate);
  try {
    const decoder = await decoderFor(file, accelerator), stream = new Stream(decoder, file);
    if (stopping) return;
    show(file, decoder, stream);
    const why = decoder.accelerator === accelerator ? "" : ": the GPU lacks an operator";
    say("decoding", `Decoding on ${NAMES[decoder.accelerator]}${why}`);
    const measured = await run(decoder, stream, player, live), whole = !stopping;
    const spent = measured.times.reduce((sum, one) => sum + one, 0) / 1000;
    const result = `${seconds(measured.count / file.rate)} of sound, decoded in ${seconds(spent)} of computing`;
    if (whole) {
      spectrogram.end();
      player.end();
      say("decoding", `${result}; still playing`);
    }
    while (!stopping && player.playing) {
      numbers(stream, measured, player);
      await sleep(50);
    }
    numbers(stream, measured, player);
    if (whole) say("done", result);
    else say("ready", `Stopped after ${seconds(measured.count / file.rate)}`);
  } finally {
    player.stop();
  }
}

async function run(decoder, stream, player, live) {
  const measured = {times: [], noise: new Decibels(), count: 0};
  let shown = performance.now();
  const take = (y, shape) => {
    const samples = stream.taken(y, shape), first = measured.count * stream.channels;
    if (stream.expected) measured.noise.add(stream.expected.subarray(first, first + samples.length), samples);
    const mono = stream.mono(samples);
    measured.count += mono.length;
    player.push(mono);
    waveform.add(mono);
    spectrogram.add(mono);
  };
  await decoder.begin();
  for (let step = 0; step < stream.steps && !stopping; step++) {
    while (live && !stopping && measured.count / stream.rate - player.seconds > LEAD) await sleep(4);
    const chunk = stream.at(step), start = performance.now();
    const y = await decoder.step(chunk);
    measured.times.push(performance.now() - start);
    steps.add(measured.times.at(-1));
    take(y, decoder.y.shape);
    if (performance.now() - shown > 50) {
      numbers(stream, measured, player);
      await sleep(0); // the page is painted
      shown = performance.now();
    }
  }
  if (!stopping && decoder.tail) take(await decoder.flush(), decoder.tail.shape);
  return measured;
}

// What stays the same over a stream, and empty pictures.
function show(file, decoder, stream) {
  const {expected, rate, total} = stream, peak = expected?.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
  waveform.begin(total, peak ?? 0);
  spectrogram.begin(total, rate);
  steps.begin(stream.steps, stream.budget);
  part("band").textContent = `0 to ${(rate / 2000).toFixed(rate % 2000 ? 1 : 0)} kHz, mel`;
  part("budget").textContent = `line: ${stream.budget.toFixed(1)} ms of sound`;
  part("times").replaceChildren(...marks(total / rate));
  const states = decoder.names.length ? `${decoder.names.length} states in and out` : "states kept inside";
  part("facts").textContent =
    `The decoder, ${file.name}: ${(file.content.length / 1e6).toPrecision(2)} MB; ` +
    `chunks [${decoder.x.shape.join(", ")}] become ${stream.samplesPerStep} samples; ${states}; ` +
    `latency ${stream.latency} samples; ${rate} samples a second.`;
}

// At most eight round times along the pictures.
function marks(length) {
  const every = [0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800].find((step) => length / step < 8) ?? 3600;
  return Array.from({length: Math.ceil(length / every)}, (_, index) => {
    const mark = document.createElement("span");
    mark.textContent = `${index * every} s`;
    mark.style.left = `${100 * index * every / length}%`;
    return mark;
  });
}

function numbers(stream, {times, noise, count}, player) {
  const spent = times.reduce((sum, one) => sum + one, 0), sound = 1000 * count / stream.rate;
  const decibels = noise.value === Infinity ? "equal" : `${noise.value.toFixed(1)} dB`;
  part("decibels").textContent = stream.expected && noise.signal ? decibels : "–";
  part("factor").textContent = (spent / sound).toFixed(3);
  const [p50, p95, p99, slowest] = percentiles(times, [50, 95, 99, 100]).map((time) => `${time.toFixed(2)} ms`);
  Object.entries({p50, p95, p99}).forEach(([name, text]) => part(name).textContent = text);
  part("gaps").textContent = player.gaps ?? "no sound";
  part("peak").textContent = `peak ${waveform.peak.toPrecision(2)}`;
  part("progress").value = count / stream.total;
  const shown = `${(count / stream.rate).toFixed(1)} of ${seconds(stream.total / stream.rate)}`;
  part("waveform").ariaLabel = `Waveform of ${shown}`;
  part("spectrogram").ariaLabel = `Spectrogram of ${shown}`;
  part("steps").ariaLabel = `Time of each step: ${times.length} steps, the slowest ${slowest}`;
  const heard = `${100 * player.seconds * stream.rate / stream.total}%`;
  for (const line of document.querySelectorAll(".playhead")) line.style.left = heard;
}

const seconds = (count) => `${count.toFixed(count < 10 ? 1 : 0)} s`;

async function take() {
  const buffer = (id) => part(id).files[0]?.arrayBuffer();
  const [content, input, expected] = await Promise.all(["file", "input", "expected"].map(buffer));
  offered = {
    name: part("file").files[0].name,
    content: new Uint8Array(content),
    input: readNpy(input),
    expected: expected && readNpy(expected),
    rate: Number(part("rate").value),
  };
  for (const number of document.querySelectorAll("dd")) number.textContent = "–";
  say("ready", `Ready: ${offered.name}`);
  scrollTo({top: 0, behavior: "smooth"});
}

part("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (document.body.dataset.state === "decoding") stopping = true;
  else told(decode);
});
part("own").addEventListener("submit", (event) => {
  event.preventDefault();
  stopping = true;
  told(take);
});
told(begin);
