// A tiny recurrent model with random weights, of the mamba architecture. Its state does not grow with the text, so it cannot be
// cut back to a prefix. For tests of how such models share prefixes.
import { f32, type Metadata, str, type Tensor, u32, writeGguf } from "./gguf.ts";
import { byteTokenizer } from "./tokenizer.ts";

const noise = (inputs: number) => ({ std: 1 / Math.sqrt(inputs) });

/** Loads in milliseconds and writes nonsense. */
export function writeRecurrentModel(path: string, seed = 7): void {
  const width = 64;
  const vocabulary = 320;
  const embedding: Tensor = { name: "token_embd.weight", shape: [width, vocabulary], fill: { std: 0.1 } };
  const blocks = [0, 1].map((layer) => recurrentBlock(`blk.${layer}.`, width));
  const last: Tensor = { name: "output_norm.weight", shape: [width], fill: 1 };
  writeGguf(path, recurrentMetadata(width, vocabulary), [embedding, last, ...blocks.flat()], seed);
}

const RECURRENT = { kernel: 4, state: 8, rank: 4 };

function recurrentMetadata(width: number, vocabulary: number): Metadata {
  return {
    "general.architecture": str("mamba"),
    "general.type": str("model"),
    "general.name": str("random-recurrent"),
    "general.file_type": u32(0),
    "mamba.context_length": u32(2_048),
    "mamba.embedding_length": u32(width),
    "mamba.feed_forward_length": u32(0),
    "mamba.attention.head_count": u32(0),
    "mamba.block_count": u32(2),
    "mamba.ssm.conv_kernel": u32(RECURRENT.kernel),
    "mamba.ssm.inner_size": u32(2 * width),
    "mamba.ssm.state_size": u32(RECURRENT.state),
    "mamba.ssm.time_step_rank": u32(RECURRENT.rank),
    "mamba.attention.layer_norm_rms_epsilon": f32(1e-6),
    "mamba.vocab_size": u32(vocabulary),
    ...byteTokenizer(vocabulary),
  };
}

function recurrentBlock(prefix: string, width: number): Tensor[] {
  const { kernel, state, rank } = RECURRENT;
  const inner = 2 * width;
  const tensor = (name: string, shape: number[], fill: Tensor["fill"]): Tensor => {
    return { name: prefix + name, shape, fill };
  };
  return [
    tensor("attn_norm.weight", [width], 1),
    tensor("ssm_in.weight", [width, 2 * inner], noise(width)),
    tensor("ssm_conv1d.weight", [kernel, inner], noise(kernel)),
    tensor("ssm_conv1d.bias", [inner], 0),
    tensor("ssm_x.weight", [inner, rank + 2 * state], noise(inner)),
    tensor("ssm_dt.weight", [rank, inner], noise(rank)),
    tensor("ssm_dt.bias", [inner], 0),
    // How much is forgotten with every token: always something, or the state would grow without limit.
    tensor("ssm_a", [state, inner], -1),
    tensor("ssm_d", [inner], 1),
    tensor("ssm_out.weight", [inner, width], noise(inner)),
  ];
}
