// The pictures of a stream, drawn as its samples come: each keeps what it shows, for another width or another theme.

const root = document.documentElement;
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.#fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  #fit() {
    const {clientWidth, clientHeight} = this.canvas, ratio = devicePixelRatio;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.redraw();
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }
}

export class Waveform extends Picture {
  // `peak` is what fills the height; it grows where samples are louder.
  begin(total, peak) {
    this.samples = new Float32Array(total);
    this.count = 0;
    this.peak = peak;
    this.redraw();
  }

  add(samples) {
    const before = this.count, loudest = samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
    this.samples.set(samples.subarray(0, this.samples.length - before), before);
    this.count += samples.length;
    if (loudest > this.peak) {
      this.peak = loudest;
      this.redraw();
    } else {
      this.#draw(before);
    }
  }

  redraw() {
    this.clear();
    if (this.samples) this.#draw(0);
  }

  #draw(from) {
    const {width, height} = this.canvas, middle = height / 2, scale = 0.94 * middle / (this.peak || 1);
    const column = (sample) => Math.floor(sample * width / this.samples.length);
    this.context.fillStyle = colour("--wave");
    for (let x = column(from); x <= column(this.count - 1); x++) {
      const first = Math.floor(x * this.samples.length / width) - 1; // that of the column before: they are joined
      const end = Math.min(this.count, Math.max(first + 2, Math.floor((x + 1) * this.samples.length / width)));
      let low = Infinity, high = -Infinity;
      for (let index = Math.max(0, first); index < end; index++) {
        low = Math.min(low, this.samples[index]);
        high = Math.max(high, this.samples[index]);
      }
      this.context.clearRect(x, 0, 1, height);
      this.context.fillRect(x, middle - high * scale, 1, Math.max(1, (high - low) * scale));
    }
  }
}

const FRAME = 1024; // samples of a Fourier transform
const ROWS = 160;
const RANGE = [-90, -25]; // dB of a sine of amplitude 1, from the palest to the strongest
const mel = (hertz) => Math.log1p(hertz / 700);

export class Spectrogram extends Picture {
  begin(total, rate) {
    this.total = total;
    this.hop = Math.max(256, Math.ceil(total / 2000));
    this.columns = Math.ceil(total / this.hop);
    this.levels = new Uint8Array(this.columns * ROWS);
    this.samples = new Float32Array(total + FRAME); // half a frame of silence at both ends
    this.count = this.column = 0;
    const step = mel(rate / 2) / ROWS;
    const bin = (row) => 700 * Math.expm1(row * step) / rate * FRAME;
    this.bins = Array.from({length: ROWS}, (_, row) => [bin(row), bin(row + 1)]);
    this.image = new OffscreenCanvas(this.columns, ROWS);
    this.redraw();
  }

  add(samples) {
    this.samples.set(samples.subarray(0, this.total - this.count), FRAME / 2 + this.count);
    this.count += samples.length;
    this.#analyse(this.count - FRAME / 2);
  }

  // What is left: the frames that reach beyond the end.
  end() {
    this.#analyse(this.count);
  }

  redraw() {
    this.clear();
    if (this.levels) this.#paint(0);
  }

  #analyse(until) {
    const from = this.column;
    for (; this.column < this.columns && this.column * this.hop < until; this.column++) {
      const power = powers(this.samples, this.column * this.hop);
      this.bins.forEach(([low, high], row) => {
        let most = power[Math.round((low + high) / 2)];
        for (let bin = Math.ceil(low); bin < high; bin++) most = Math.max(most, power[bin]);
        const level = (10 * Math.log10(most + 1e-20) - RANGE[0]) / (RANGE[1] - RANGE[0]);
        this.levels[this.column * ROWS + row] = 255 * Math.min(1, Math.max(0, level));
      });
    }
    if (this.column > from) this.#paint(from);
  }

  #paint(from) {
    const count = this.column - from;
    if (!count) return;
    const pixels = new ImageData(count, ROWS), heat = palette(colour("--heat").split(","));
    for (let column = 0; column < count; column++) {
      for (let row = 0; row < ROWS; row++) {
        pixels.data.set(heat[this.levels[(from + column) * ROWS + row]], 4 * ((ROWS - 1 - row) * count + column));
      }
    }
    this.image.getContext("2d").putImageData(pixels, from, 0);
    this.clear(); // the whole at once: pieces would show their seams
    this.context.drawImage(this.image, 0, 0, this.canvas.width, this.canvas.height);
  }
}

// 256 colours between the given ones.
function palette(hexes) {
  const stops = hexes.map((hex) => [1, 3, 5].map((at) => parseInt(hex.trim().slice(at, at + 2), 16)));
  return Array.from({length: 256}, (_, level) => {
    const at = level / 255 * (stops.length - 1), stop = Math.min(Math.floor(at), stops.length - 2);
    return [...stops[stop].map((part, index) => part + (at - stop) * (stops[stop + 1][index] - part)), 255];
  });
}

const window_ = Float32Array.from({length: FRAME}, (_, index) => 0.5 - 0.5 * Math.cos(2 * Math.PI * index / FRAME));

// The power of each frequency in a frame, by the radix-2 transform of Cooley and Tukey; a sine of amplitude 1 has 1.
function powers(samples, first) {
  const real = new Float32Array(FRAME), imaginary = new Float32Array(FRAME), bits = Math.log2(FRAME);
  for (let index = 0; index < FRAME; index++) {
    let reversed = 0;
    for (let bit = 0; bit < bits; bit++) reversed |= (index >> bit & 1) << bits - 1 - bit;
    real[reversed] = samples[first + index] * window_[index];
  }
  for (let half = 1; half < FRAME; half *= 2) {
    for (let turn = 0; turn < half; turn++) {
      const angle = -Math.PI * turn / half, cosine = Math.cos(angle), sine = Math.sin(angle);
      for (let even = turn; even < FRAME; even += 2 * half) {
        const odd = even + half;
        const re = real[odd] * cosine - imaginary[odd] * sine, im = real[odd] * sine + imaginary[odd] * cosine;
        real[odd] = real[even] - re;
        imaginary[odd] = imaginary[even] - im;
        real[even] += re;
        imaginary[even] += im;
      }
    }
  }
  return real.subarray(0, FRAME / 2 + 1).map((re, bin) => (re ** 2 + imaginary[bin] ** 2) / (FRAME / 4) ** 2);
}

export class Steps extends Picture {
  // `budget` is the milliseconds of sound in a step.
  begin(total, budget) {
    this.total = total;
    this.budget = budget;
    this.times = [];
    this.high = 1.2 * budget; // milliseconds of the whole height
    this.higher = 0; // how many steps took longer
    this.redraw();
  }

  add(milliseconds) {
    this.times.push(milliseconds);
    this.higher += milliseconds > this.high;
    if (2 * this.higher > this.times.length && this.times.length > 8) {
      this.high *= 2;
      this.higher = this.times.filter((time) => time > this.high).length;
      this.redraw();
    } else {
      this.#bar(this.times.length - 1);
    }
  }

  redraw() {
    this.clear();
    if (!this.times) return;
    this.#line(0, this.canvas.width);
    this.times.forEach((_, index) => this.#bar(index));
  }

  #top(milliseconds) {
    return this.canvas.height * (1 - Math.min(1, milliseconds / this.high));
  }

  #bar(index) {
    const {width, height} = this.canvas, time = this.times[index], top = this.#top(time);
    const x = Math.floor(index * width / this.total), end = Math.floor((index + 1) * width / this.total);
    this.context.fillStyle = colour(time > this.budget ? "--over" : "--wave");
    this.context.fillRect(x, top, Math.max(1, end - x - (end - x > 2 ? 1 : 0)), height - top);
    this.#line(x, Math.max(1, end - x));
  }

  #line(x, width) {
    this.context.fillStyle = colour("--quiet");
    this.context.fillRect(x, this.#top(this.budget), width, 1);
  }
}
