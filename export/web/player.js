// The sound of a stream, gapless, while it is decoded; and the clock that the decoding keeps to.

export class Player {
  #told = {played: 0, gaps: 0, waiting: true, time: 0};

  // Begins within a click, or a browser stays silent; null where there is nothing to play on.
  static async start(rate) {
    const context = new AudioContext({sampleRate: rate});
    const late = new Promise((resolve) => setTimeout(resolve, 2000));
    await Promise.race([context.resume(), late]);
    if (context.state !== "running") {
      context.close();
      return null;
    }
    await context.audioWorklet.addModule("queue.js");
    return new Player(context, rate);
  }

  constructor(context, rate) {
    this.context = context;
    this.rate = rate;
    this.sent = 0;
    this.node = new AudioWorkletNode(context, "queue", {numberOfInputs: 0, outputChannelCount: [1]});
    this.node.port.onmessage = ({data}) => this.#told = data;
    this.node.connect(context.destination);
  }

  push(samples) {
    this.sent += samples.length;
    this.node.port.postMessage(samples);
  }

  end() {
    this.node.port.postMessage("end");
  }

  get gaps() {
    return this.#told.gaps;
  }

  // Seconds of the stream that were heard.
  get seconds() {
    const since = this.#told.waiting ? 0 : this.context.currentTime - this.#told.time;
    return Math.min(this.#told.played + since * this.rate, this.sent) / this.rate;
  }

  get playing() {
    return this.seconds < this.sent / this.rate - 0.02;
  }

  stop() {
    return this.context.close();
  }
}

// The same clock where nothing is played.
export class Silence {
  gaps = null;
  playing = false;
  sent = 0;

  constructor(rate) {
    this.rate = rate;
  }

  push(samples) {
    this.start ??= performance.now();
    this.sent += samples.length;
  }

  end() {}

  get seconds() {
    return this.sent && Math.min((performance.now() - this.start) / 1000, this.sent / this.rate);
  }

  stop() {}
}
