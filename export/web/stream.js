// A signal cut into chunks for a decoder, and the samples that come back, in time.

const product = (extents) => extents.reduce((all, one) => all * one, 1);

export class Stream {
  constructor(decoder, {input, expected, rate}) {
    this.decoder = decoder;
    this.input = input;
    this.rate = rate;
    const x = [...decoder.x.shape], {shape} = input;
    this.axis = Math.max(1, shape.findIndex((extent, axis) => axis && extent !== x[axis]));
    if (shape.length !== x.length || shape.some((extent, axis) => axis !== this.axis && extent !== x[axis])) {
      throw new Error(`The input must be a signal for chunks [${x.join(", ")}]. Received: [${shape.join(", ")}]`);
    }
    this.chunk = x[this.axis];
    this.steps = Math.floor(shape[this.axis] / this.chunk);
    [this.samplesPerStep, this.channels] = this.#laidOut(decoder.y.shape);
    const tail = decoder.tail ? this.#laidOut(decoder.tail.shape)[0] : 0;
    const given = this.steps * this.samplesPerStep + tail;
    this.total = expected ? expected.data.length / this.channels : given;
    this.latency = given - this.total; // what the first samples of a stream are to be without
    if (!this.steps || this.latency < 0) {
      throw new Error(`The input and the whole decode must fit. Received: ${given} samples against ${this.total}`);
    }
    this.expected = expected && this.#inTime(expected.data, expected.shape);
    this.left = this.latency;
  }

  get budget() {
    return 1000 * this.samplesPerStep / this.rate;
  }

  // The numbers of a chunk.
  at(step) {
    const {data, shape} = this.input, inner = product(shape.slice(this.axis + 1));
    const run = this.chunk * inner, outer = product(shape.slice(0, this.axis));
    const chunk = new data.constructor(outer * run);
    for (let row = 0; row < outer; row++) {
      const first = row * shape[this.axis] * inner + step * run;
      chunk.set(data.subarray(first, first + run), row * run);
    }
    return chunk;
  }

  // What a call gave, the channels of a sample together, without the latency.
  taken(y, shape) {
    const samples = this.#inTime(y, shape), left = Math.min(this.left, samples.length / this.channels);
    this.left -= left;
    return samples.subarray(left * this.channels);
  }

  // The mean of the channels.
  mono(samples) {
    if (this.channels === 1) return samples;
    const mean = new Float32Array(samples.length / this.channels);
    samples.forEach((one, index) => mean[Math.floor(index / this.channels)] += one / this.channels);
    return mean;
  }

  // How many samples and channels: there are more of the former.
  #laidOut([, first, second = 1]) {
    return [Math.max(first, second), Math.min(first, second)];
  }

  #inTime(data, [, first, second = 1]) {
    if (first >= second) return data;
    return Float32Array.from(data, (_, index) => data[index % first * second + Math.floor(index / first)]);
  }
}
