// Finds the notes in a sound: synthesises a chord, takes its Fourier transform, lists the peaks.
// With the argument "throw" it ends by an uncaught error instead.
//
// Floating point through and through, with the language's own sine, square root and formatting;
// objects sorted with a comparator; environment: SPECTRUM_NOTES="440,550.5" replaces the chord.

class Peak {
  constructor(public frequency: f64, public strength: f64) {}
}

const SIZE = 4096;
const RATE: f64 = 8192;

function synthesise(notes: f64[]): Float64Array {
  const sound = new Float64Array(SIZE);
  for (let i = 0; i < notes.length; i++) {
    for (let t = 0; t < SIZE; t++) {
      sound[t] += Math.sin((2 * Math.PI * notes[i] * <f64>t) / RATE) / <f64>(i + 1);
    }
  }
  return sound;
}

// Cooley and Tukey's transform, in place: bits reversed first, then butterflies of growing span.
function transform(re: Float64Array, im: Float64Array): void {
  const bits = ctz<i32>(re.length);
  for (let i = 0; i < re.length; i++) {
    let reversed = 0;
    for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
    if (reversed > i) {
      const swap = re[i];
      re[i] = re[reversed];
      re[reversed] = swap;
    }
  }
  for (let span = 1; span < re.length; span *= 2) {
    for (let start = 0; start < re.length; start += 2 * span) {
      for (let k = 0; k < span; k++) {
        const angle = (-Math.PI * <f64>k) / <f64>span;
        const cos = Math.cos(angle), sin = Math.sin(angle);
        const a = start + k, b = a + span;
        const x = re[b] * cos - im[b] * sin, y = re[b] * sin + im[b] * cos;
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
    }
  }
}

function peaks(re: Float64Array, im: Float64Array): Peak[] {
  const found = new Array<Peak>();
  for (let i = 1; i < SIZE / 2 - 1; i++) {
    const here = Math.hypot(re[i], im[i]);
    const before = Math.hypot(re[i - 1], im[i - 1]), after = Math.hypot(re[i + 1], im[i + 1]);
    if (here > before && here >= after && here > <f64>SIZE / 16) {
      found.push(new Peak((<f64>i * RATE) / <f64>SIZE, (2 * here) / <f64>SIZE));
    }
  }
  return found.sort((a, b) => (a.strength < b.strength ? 1 : a.strength > b.strength ? -1 : 0));
}

// Three decimals, by whole numbers: so the last digit does not depend on a library's taste.
function decimals(value: f64): string {
  const thousandths = <i64>Math.round(value * 1000);
  return (thousandths / 1000).toString() + "." + (thousandths % 1000).toString().padStart(3, "0");
}

function main(): void {
  let notes: f64[] = [262, 330, 392, 1046];
  if (process.env.has("SPECTRUM_NOTES")) {
    notes = process.env.get("SPECTRUM_NOTES").split(",").map<f64>(text => parseFloat(text));
  }
  const re = synthesise(notes), im = new Float64Array(SIZE);
  transform(re, im);
  const found = peaks(re, im);
  for (let i = 0; i < found.length; i++) {
    console.log(decimals(found[i].frequency).padStart(9) + " Hz, strength " + decimals(found[i].strength));
  }
  if (process.argv.length > 1 && process.argv[1] == "throw") {
    throw new Error("no more notes");
  }
  console.log(found.length.toString() + " of " + notes.length.toString() + " notes found");
}

main();
