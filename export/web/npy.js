// NumPy's .npy files: an array's numbers and its shape.

const TYPES = {"<f4": Float32Array, "<f8": Float64Array, "<i4": Int32Array, "|u1": Uint8Array};

export function readNpy(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 12 || view.getUint32(0) !== 0x934e554d) throw new Error("This is no .npy file");
  const wide = view.getUint8(6) > 1, begin = wide ? 12 : 10;
  const end = begin + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(new Uint8Array(buffer, begin, end - begin));
  const type = /'descr': '([^']*)'/.exec(header)?.[1];
  const shape = [.../'shape': \(([^)]*)\)/.exec(header)[1].matchAll(/\d+/g)].map(Number);
  if (!(type in TYPES)) throw new Error(`A .npy file must hold ${Object.keys(TYPES).join(", ")}. Received: ${type}`);
  if (header.includes("'fortran_order': True")) throw new Error("A .npy file must be in C order");
  const length = shape.reduce((product, extent) => product * extent, 1);
  return {data: new TYPES[type](buffer.slice(end), 0, length), shape};
}
