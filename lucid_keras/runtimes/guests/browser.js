// A .tflite file under LiteRT.js: opened, run and timed. Arrays come and go as base64.
import {getWebGpuDevice, loadAndCompile, loadLiteRt, Tensor} from "@litertjs/core";

const TYPES = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array}; // all that LiteRT.js takes
let model;

async function opened(accelerator) {
  // JSPI lets WebGPU leave single operators to WebAssembly; without it a file runs there whole or not at all.
  await loadLiteRt("/packages/@litertjs/core/wasm/", {jspi: accelerator === "webgpu"});
  model = await loadAndCompile("/file.tflite", {accelerator, gpuOptions: {precision: "fp32"}});
  const {vendor, architecture, description} = getWebGpuDevice()?.adapterInfo ?? {};
  return description || architecture || vendor;
}

async function run(signature, inputs) {
  const given = tensors(inputs), outputs = await model.run(signature, given), arrays = {};
  for (const [name, tensor] of Object.entries(outputs)) {
    const shape = [...tensor.type.layout.dimensions];
    arrays[name] = {dtype: tensor.type.dtype, shape, data: base64Of(await tensor.data())};
  }
  deleteAll(given);
  deleteAll(outputs);
  return arrays;
}

// The median of as many calls as fit into the seconds, three at least.
async function milliseconds(signature, inputs, seconds) {
  const given = tensors(inputs), times = [], end = performance.now() + 1000 * seconds;
  deleteAll(await model.run(signature, given));
  while (times.length < 3 || performance.now() < end) {
    const start = performance.now(), outputs = await model.run(signature, given);
    if (model.options.accelerator === "webgpu") await getWebGpuDevice().queue.onSubmittedWorkDone();
    times.push(performance.now() - start);
    deleteAll(outputs);
  }
  deleteAll(given);
  return times.sort((a, b) => a - b)[times.length >> 1];
}

const tensors = (arrays) => Object.fromEntries(Object.entries(arrays).map(([name, one]) => [name, tensorOf(one)]));

function tensorOf({dtype, shape, data}) {
  if (!(dtype in TYPES)) throw new Error(`LiteRT.js takes ${Object.keys(TYPES).join(", ")}. Received: ${dtype}`);
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return new Tensor(new TYPES[dtype](bytes.buffer), shape);
}

function base64Of({buffer, byteOffset, byteLength}) {
  const pieces = [];
  for (let first = 0; first < byteLength; first += 32768) { // an argument a byte: a stack holds no more
    const length = Math.min(32768, byteLength - first);
    pieces.push(String.fromCharCode(...new Uint8Array(buffer, byteOffset + first, length)));
  }
  return btoa(pieces.join(""));
}

const deleteAll = (named) => Object.values(named).forEach((tensor) => tensor.delete());

window.guest = {opened, run, milliseconds};
