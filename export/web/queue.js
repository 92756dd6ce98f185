// The sound's own thread: plays the samples that it is sent one after the other, and tells how far it is.

const TELL = 8; // blocks of 128 samples
const FILLED = 0.2; // seconds that are there before the sound begins, and after a gap

class Queue extends AudioWorkletProcessor {
  pieces = [];
  at = 0; // in the first piece
  played = 0;
  gaps = 0;
  blocks = 0;
  sent = 0;
  ended = false;
  waiting = true;

  constructor() {
    super();
    this.port.onmessage = ({data}) => {
      this.ended ||= data === "end";
      if (this.ended) return;
      this.sent += data.length;
      this.pieces.push(data);
    };
  }

  process(_, [[out]]) {
    let filled = 0;
    this.waiting &&= !this.ended && this.sent - this.played < FILLED * sampleRate;
    while (!this.waiting && filled < out.length && this.pieces.length) {
      const piece = this.pieces[0], count = Math.min(piece.length - this.at, out.length - filled);
      out.set(piece.subarray(this.at, this.at + count), filled);
      filled += count;
      this.at += count;
      if (this.at === piece.length) {
        this.pieces.shift();
        this.at = 0;
      }
    }
    this.played += filled;
    if (filled < out.length && !this.waiting && !this.ended) {
      this.gaps++;
      this.waiting = true;
    }
    const over = this.ended && this.played === this.sent;
    if (this.blocks++ % TELL === 0 || over) {
      this.port.postMessage({played: this.played, gaps: this.gaps, waiting: this.waiting, time: currentTime});
    }
    return !over;
  }
}

registerProcessor("queue", Queue);
