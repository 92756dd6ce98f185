// A live .tflite file under LiteRT.js: chunks in, samples out, the states in between.
import {loadAndCompile, loadLiteRt, Tensor, unloadLiteRt} from "@litertjs/core";

const TYPES = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array};
const TOLD = /^(INFO: |WARNING: |[IW]\d{4} )/; // no failures, though LiteRT writes them where errors go
let loadedFor;

async function load(accelerator) {
  if (loadedFor === accelerator) return;
  if (loadedFor) unloadLiteRt();
  loadedFor = undefined;
  globalThis.Module = {printErr: (line) => TOLD.test(line) ? console.debug(line) : console.error(line)};
  // JSPI lets WebGPU leave single operators to WebAssembly; without it a file runs there whole or not at all.
  await loadLiteRt("litert/core/wasm/", {jspi: accelerator === "webgpu" && "Suspending" in WebAssembly});
  loadedFor = accelerator;
}

export class LiveDecoder {
  static async open(content, accelerator) {
    await load(accelerator);
    let model;
    try {
      model = await loadAndCompile(content, {accelerator, gpuOptions: {precision: "fp32"}});
      return new LiveDecoder(model);
    } catch (error) {
      model?.delete();
      throw new Error(`LiteRT.js must be able to decode with the file. Received: ${error.message ?? error}`);
    }
  }

  constructor(model) {
    this.model = model;
    this.accelerator = model.options.accelerator;
    const {step, flush, initial_state: initial} = model.signatures;
    if (!step) throw new Error("a file without a signature `step`, which live ones have");
    this.x = step.getInputDetails().find(({name}) => name === "x");
    this.y = step.getOutputDetails().find(({name}) => name === "y");
    this.tail = flush?.getOutputDetails().find(({name}) => name === "y");
    const given = new Set(initial?.getOutputDetails().map(({name}) => name));
    this.names = step.getInputDetails().map(({name}) => name).filter((name) => name !== "x");
    const lost = this.names.filter((name) => !given.has(name));
    if (lost.length) throw new Error(`no ${lost.join(", ")} from \`initial_state\``);
    if (this.x.shape[0] !== 1) throw new Error(`${this.x.shape[0]} streams where one is decoded`);
  }

  // Before the first chunk of a stream.
  async begin() {
    const {initial_state: initial, reset} = this.model.signatures;
    if (reset) deleteAll(await reset.run({rows: new Tensor(Int32Array.of(1), [1])}));
    this.#follow(initial ? await initial.run({}) : {});
  }

  // The samples of a chunk, laid out as the file gives them.
  async step(chunk) {
    const x = new Tensor(TYPES[this.x.dtype].from(chunk), [...this.x.shape]);
    const {y, ...states} = await this.model.run("step", {x, ...this.states});
    x.delete();
    this.#follow(states);
    return taken(y);
  }

  // What the end of the stream releases.
  async flush() {
    if (!this.tail) return new Float32Array();
    const names = this.model.signatures.flush.getInputDetails().map(({name}) => name);
    const {y} = await this.model.run("flush", Object.fromEntries(names.map((name) => [name, this.states[name]])));
    return taken(y);
  }

  close() {
    deleteAll(this.states ?? {});
    this.model.delete();
  }

  #follow(states) {
    deleteAll(this.states ?? {});
    this.states = states;
  }
}

async function taken(tensor) {
  const samples = await tensor.data();
  tensor.delete();
  return samples;
}

const deleteAll = (tensors) => Object.values(tensors).forEach((tensor) => tensor.delete());
