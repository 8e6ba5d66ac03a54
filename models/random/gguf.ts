// Writes GGUF v3 files without any dependency: metadata, then tensors one after another, so that big ones stay cheap in memory.
import { closeSync, openSync, writeSync } from "node:fs";

const TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, str: 8, arr: 9, u64: 10 } as const;
type ScalarType = Exclude<keyof typeof TYPES, "arr">;
type Scalar = number | string | boolean;
export type Value =
  | { type: ScalarType; value: Scalar }
  | { type: "arr"; of: ScalarType; value: readonly Scalar[] };
export type Metadata = Record<string, Value>;

export const u32 = (value: number): Value => ({ type: "u32", value });
export const f32 = (value: number): Value => ({ type: "f32", value });
export const bool = (value: boolean): Value => ({ type: "bool", value });
export const str = (value: string): Value => ({ type: "str", value });
export const list = (of: ScalarType, value: readonly Scalar[]): Value => ({ type: "arr", of, value });

/** ggml's number of the type, values in a block, bytes in a block. */
const FORMATS = {
  F32: { id: 0, block: 1, bytes: 4 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
} as const;
export type Format = keyof typeof FORMATS;
/** `shape` is fastest first. `fill` is a constant, or noise with a standard deviation. */
export type Tensor = {
  name: string;
  shape: readonly number[];
  format?: Format;
  fill: number | { std: number };
};

const ALIGNMENT = 32;

/** The same `seed` writes the same file. */
export function writeGguf(path: string, metadata: Metadata, tensors: readonly Tensor[], seed = 1): void {
  const random = noise(seed);
  const file = openSync(path, "w");
  let written = 0;
  const write = (bytes: Uint8Array) => {
    writeSync(file, bytes);
    written += bytes.length;
  };
  write(header(metadata, tensors));
  write(padding(written));
  for (const tensor of tensors) {
    const bytes = contents(tensor, random);
    write(bytes);
    write(padding(bytes.length));
  }
  closeSync(file);
}

function header(metadata: Metadata, tensors: readonly Tensor[]): Buffer {
  const entries = Object.entries(metadata);
  const parts = [
    Buffer.from("GGUF"),
    scalar("u32", 3),
    scalar("u64", tensors.length),
    scalar("u64", entries.length),
  ];
  for (const [key, value] of entries)
    parts.push(scalar("str", key), scalar("u32", TYPES[value.type]), encode(value));
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape, format = "F32" } = tensor;
    parts.push(scalar("str", name), scalar("u32", shape.length), ...shape.map((n) => scalar("u64", n)));
    parts.push(scalar("u32", FORMATS[format].id), scalar("u64", offset));
    const size = sizeOf(tensor);
    offset += size + padding(size).length;
  }
  return Buffer.concat(parts);
}

function encode(value: Value): Buffer {
  if (value.type !== "arr") return scalar(value.type, value.value);
  const items = value.value.map((item) => scalar(value.of, item));
  return Buffer.concat([scalar("u32", TYPES[value.of]), scalar("u64", items.length), ...items]);
}

function scalar(type: ScalarType, value: Scalar): Buffer {
  if (type === "str") {
    const text = Buffer.from(String(value));
    return Buffer.concat([scalar("u64", text.length), text]);
  }
  if (type === "bool") return Buffer.from([value ? 1 : 0]);
  const bytes = Buffer.alloc(type === "u64" ? 8 : 4);
  if (type === "u64") bytes.writeBigUInt64LE(BigInt(value));
  else if (type === "f32") bytes.writeFloatLE(Number(value));
  else if (type === "i32") bytes.writeInt32LE(Number(value));
  else bytes.writeUInt32LE(Number(value));
  return bytes;
}

const padding = (length: number) => Buffer.alloc((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT);
const countOf = ({ shape }: Tensor) => shape.reduce((product, n) => product * n, 1);

function sizeOf(tensor: Tensor): number {
  const { block, bytes } = FORMATS[tensor.format ?? "F32"];
  if (tensor.shape[0]! % block !== 0) throw new Error(`${tensor.name}: a row must be a multiple of ${block}`);
  return (countOf(tensor) / block) * bytes;
}

function contents(tensor: Tensor, random: () => number): Buffer {
  const { format = "F32", fill } = tensor;
  if (format !== "F32") return quantizedNoise(tensor, format, random);
  const values = new Float32Array(countOf(tensor));
  if (typeof fill === "number") values.fill(fill);
  else
    for (let at = 0; at < values.length; at++)
      values[at] = (random() + random() + random() - 1.5) * 2 * fill.std;
  return Buffer.from(values.buffer);
}

/** Random blocks with a scale that gives the wanted deviation: nothing is quantized, so big models are written fast. */
function quantizedNoise(tensor: Tensor, format: "Q4_0" | "Q8_0", random: () => number): Buffer {
  if (typeof tensor.fill === "number") throw new Error(`${tensor.name}: only noise can be quantized`);
  const { bytes: step } = FORMATS[format];
  const words = Uint32Array.from({ length: Math.ceil(sizeOf(tensor) / 4) }, () => random() * 2 ** 32);
  const bytes = Buffer.from(words.buffer, 0, sizeOf(tensor));
  // The deviation of uniform 4-bit and 8-bit numbers.
  const scale = half(tensor.fill.std / (format === "Q4_0" ? 4.6 : 73.9));
  for (let at = 0; at < bytes.length; at += step) bytes.writeUInt16LE(scale, at);
  return bytes;
}

/** A number in half precision. Good enough for scales: no subnormal numbers. */
function half(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0]!;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  const sign = (bits >>> 16) & 0x8000;
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((bits & 0x7fffff) >>> 13);
}

/** xorshift32 */
function noise(seed: number): () => number {
  let state = (seed * 2_654_435_761) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
