// Models with random weights. They cost as much as trained models of the same shape and need no download. For tests that do not
// depend on what an answer says, and for measuring speed.
import { bool, type Format, f32, list, type Metadata, str, type Tensor, u32, writeGguf } from "./gguf.ts";
import { byteTokenizer, wordAt } from "./tokenizer.ts";

export type TextShape = {
  name: string;
  width: number;
  layers: number;
  heads: number;
  /** heads that hold keys and values */
  kvHeads: number;
  /** of the feed-forward part */
  inner: number;
  vocabulary: number;
  contextSize: number;
  format?: Format;
  /** the chat template, if it is not ChatML */
  template?: string;
  /** The deviation of the embedding, and with it how far apart the likeliest and the other tokens are. */
  spread?: number;
};
export type EyesShape = {
  /** pixels an edge of the picture, and of one patch */
  image: number;
  patch: number;
  width: number;
  layers: number;
  heads: number;
  /** Must differ from `width`: llama.cpp distinguishes the two halves of the feed-forward part by their shapes. */
  inner: number;
  /** the text model's width */
  textWidth: number;
};

/** Loads in milliseconds and writes nonsense. */
export const TINY: TextShape = {
  name: "random-tiny",
  width: 64,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  inner: 128,
  vocabulary: 320,
  contextSize: 2_048,
};
/** 57 million parameters: large enough that a batch pays, small enough for any machine. */
export const SMALL: TextShape = {
  name: "random-57m",
  width: 640,
  layers: 12,
  heads: 10,
  kvHeads: 2,
  inner: 1_728,
  vocabulary: 8_192,
  contextSize: 32_768,
  format: "Q4_0",
};
/**
 * The shape of Gemma 3 270M, with as many tokens, and logits so far apart that as few tokens are within reach of the likeliest one. For
 * measuring what is done for each token of a vocabulary.
 */
export const LARGE_VOCABULARY: TextShape = {
  ...SMALL,
  name: "random-270m-262k-tokens",
  layers: 18,
  inner: 2_048,
  vocabulary: 262_144,
  contextSize: 4_096,
  spread: 0.24,
};
/** From so many tokens on the vocabulary is padded with words. */
const MANY_TOKENS = 100_000;
export const TINY_EYES: EyesShape = {
  image: 32,
  patch: 8,
  width: 64,
  layers: 2,
  heads: 2,
  inner: 96,
  textWidth: TINY.width,
};

const noise = (inputs: number) => ({ std: 1 / Math.sqrt(inputs) });

/** A text model of the qwen2 architecture. */
export function writeTextModel(path: string, shape: TextShape, seed = 7): void {
  const { width, vocabulary, format = "F32", spread = 0.1 } = shape;
  const embedding: Tensor = {
    name: "token_embd.weight",
    shape: [width, vocabulary],
    format: format === "F32" ? "F32" : "Q8_0",
    // Small compared with what the layers add; otherwise every token would predict itself.
    fill: { std: spread },
  };
  const blocks = Array.from({ length: shape.layers }, (_, layer) => textBlock(`blk.${layer}.`, shape));
  const norm: Tensor = { name: "output_norm.weight", shape: [width], fill: 1 };
  writeGguf(path, textMetadata(shape), [embedding, norm, ...blocks.flat()], seed);
}

function textMetadata(shape: TextShape): Metadata {
  return {
    "general.architecture": str("qwen2"),
    "general.type": str("model"),
    "general.name": str(shape.name),
    "general.file_type": u32(shape.format === "Q4_0" ? 2 : 0),
    "general.quantization_version": u32(2),
    "qwen2.context_length": u32(shape.contextSize),
    "qwen2.embedding_length": u32(shape.width),
    "qwen2.block_count": u32(shape.layers),
    "qwen2.feed_forward_length": u32(shape.inner),
    "qwen2.attention.head_count": u32(shape.heads),
    "qwen2.attention.head_count_kv": u32(shape.kvHeads),
    "qwen2.attention.layer_norm_rms_epsilon": f32(1e-6),
    "qwen2.rope.freq_base": f32(1e6),
    "qwen2.vocab_size": u32(shape.vocabulary),
    ...byteTokenizer(shape.vocabulary, {
      template: shape.template,
      ...(shape.vocabulary >= MANY_TOKENS && { pad: wordAt }),
    }),
  };
}

function textBlock(prefix: string, { width, heads, kvHeads, inner, format = "F32" }: TextShape): Tensor[] {
  const kv = (width / heads) * kvHeads;
  const matrix = (name: string, inputs: number, outputs: number): Tensor => {
    return { name: `${prefix}${name}.weight`, shape: [inputs, outputs], format, fill: noise(inputs) };
  };
  const vector = (name: string, size: number, fill: number): Tensor => {
    return { name: `${prefix}${name}`, shape: [size], fill };
  };
  return [
    vector("attn_norm.weight", width, 1),
    matrix("attn_q", width, width),
    vector("attn_q.bias", width, 0),
    matrix("attn_k", width, kv),
    vector("attn_k.bias", kv, 0),
    matrix("attn_v", width, kv),
    vector("attn_v.bias", kv, 0),
    matrix("attn_output", width, width),
    vector("ffn_norm.weight", width, 1),
    matrix("ffn_gate", width, inner),
    matrix("ffn_up", width, inner),
    matrix("ffn_down", inner, width),
  ];
}

/** A picture encoder with a llava-style projector. */
export function writeEyes(path: string, shape: EyesShape, seed = 13): void {
  const { width, patch, textWidth } = shape;
  const places = (shape.image / patch) ** 2;
  const projector = [...linear("mm.0", width, textWidth), ...linear("mm.2", textWidth, textWidth)];
  const tensors: Tensor[] = [
    { name: "v.patch_embd.weight", shape: [patch, patch, 3, width], fill: noise(patch * patch * 3) },
    { name: "v.patch_embd.bias", shape: [width], fill: 0 },
    { name: "v.position_embd.weight", shape: [width, places], fill: { std: 0.1 } },
    ...norm("v.post_ln", width),
    ...Array.from({ length: shape.layers }, (_, layer) => eyesBlock(`v.blk.${layer}.`, shape)).flat(),
    ...projector,
  ];
  writeGguf(path, eyesMetadata(shape), tensors, seed);
}

function eyesMetadata(shape: EyesShape): Metadata {
  return {
    "general.architecture": str("clip"),
    "general.type": str("mmproj"),
    "general.name": str("random-eyes"),
    "general.file_type": u32(0),
    "clip.has_vision_encoder": bool(true),
    "clip.projector_type": str("mlp"),
    "clip.use_gelu": bool(true),
    "clip.vision.image_size": u32(shape.image),
    "clip.vision.patch_size": u32(shape.patch),
    "clip.vision.embedding_length": u32(shape.width),
    "clip.vision.feed_forward_length": u32(shape.inner),
    "clip.vision.block_count": u32(shape.layers),
    "clip.vision.attention.head_count": u32(shape.heads),
    "clip.vision.attention.layer_norm_epsilon": f32(1e-6),
    "clip.vision.projection_dim": u32(shape.textWidth),
    "clip.vision.image_mean": list("f32", [0.5, 0.5, 0.5]),
    "clip.vision.image_std": list("f32", [0.5, 0.5, 0.5]),
  };
}

function eyesBlock(prefix: string, { width, inner }: EyesShape): Tensor[] {
  const attention = ["attn_q", "attn_k", "attn_v", "attn_out"];
  return [
    ...norm(`${prefix}ln1`, width),
    ...norm(`${prefix}ln2`, width),
    ...attention.flatMap((name) => linear(prefix + name, width, width)),
    ...linear(`${prefix}ffn_up`, width, inner),
    ...linear(`${prefix}ffn_down`, inner, width),
  ];
}

const linear = (name: string, inputs: number, outputs: number): Tensor[] => [
  { name: `${name}.weight`, shape: [inputs, outputs], fill: noise(inputs) },
  { name: `${name}.bias`, shape: [outputs], fill: 0 },
];

const norm = (name: string, size: number): Tensor[] => [
  { name: `${name}.weight`, shape: [size], fill: 1 },
  { name: `${name}.bias`, shape: [size], fill: 0 },
];
