// What is measured of a stream: how near it is to the expected numbers, and how long its steps take.

// 10 log10 of the signal's energy over the error's, as `lucid_keras.export.snr_db`.
export class Decibels {
  signal = 0;
  noise = 0;

  add(expected, given) {
    for (let index = 0; index < given.length; index++) {
      this.signal += expected[index] ** 2;
      this.noise += (expected[index] - given[index]) ** 2;
    }
  }

  get value() {
    return this.noise ? 10 * Math.log10(this.signal / this.noise) : Infinity;
  }
}

// The least times within which so many in a hundred lie.
export function percentiles(times, percents) {
  const sorted = Float64Array.from(times).sort();
  return percents.map((percent) => sorted[Math.max(0, Math.ceil(percent / 100 * sorted.length) - 1)]);
}
