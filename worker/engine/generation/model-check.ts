// Whether the files of a model can work at all, from their headers, before anything else is done with them: native code says little
// about a wrong file, or ends the process. What is found here stays so however often the engine is started, so it names the setting.
import { statSync } from "node:fs";
import { type GgufFileInfo, readGgufFileInfo } from "node-llama-cpp";
import { KamadoError } from "../../errors.ts";

/** The names by which users know the two files. */
export const VARIABLES = { model: "KAMADO_MODEL", mmproj: "KAMADO_MMPROJ" } as const;
type Setting = keyof typeof VARIABLES;
export type Files = { model?: string | undefined; mmproj?: string | undefined };

/** Throws `config_invalid` for files that can never work. */
export async function checkFiles({ model, mmproj }: Files): Promise<void> {
  const text = model === undefined ? undefined : await checked("model", model);
  if (mmproj === undefined) return;
  const projector = await checked("mmproj", mmproj);
  if (text !== undefined) checkFit(text, projector, mmproj);
}

async function checked(setting: Setting, path: string): Promise<GgufFileInfo> {
  const size = sizeOf(setting, path);
  const info = await readGgufFileInfo(path, { sourceType: "filesystem", logWarnings: false }).catch(
    (cause) => {
      throw wrong(setting, path, `is not a GGUF file, or its header is damaged. Download it again`, cause);
    },
  );
  const isProjector = String(info.metadata.general?.architecture) === "clip";
  if (setting === "model" && isProjector)
    throw wrong(setting, path, "is a projector, not a model", undefined, SWAPPED);
  if (setting === "mmproj" && !isProjector) throw wrong(setting, path, "is no projector", undefined, SWAPPED);
  checkWhole(setting, path, info, size);
  return info;
}

const SWAPPED = `${VARIABLES.model} is the model, ${VARIABLES.mmproj} its projector; they may be swapped.`;

function sizeOf(setting: Setting, path: string): number {
  // A zero character ends a path, and Node refuses it.
  const stat = path.includes("\0") ? undefined : statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw wrong(setting, path, "does not exist");
  if (!stat.isFile())
    throw wrong(setting, path, stat.isDirectory() ? "is a folder, not a file" : "is not a file");
  if (stat.size === 0) throw wrong(setting, path, "is empty. Download it again");
  return stat.size;
}

/** A download that broke off has its whole header, and tensors that the file does not reach to. */
function checkWhole(setting: Setting, path: string, info: GgufFileInfo, size: number): void {
  // A model may be split into several files; each other part is found when it is read.
  const tensors = (info.fullTensorInfo ?? []).filter(({ filePart }) => filePart === 1);
  if (tensors.length === 0) throw wrong(setting, path, "has no weights");
  const end = tensors.reduce((end, tensor) => Math.max(end, Number(tensor.fileOffset) + bytesOf(tensor)), 0);
  if (end > size)
    throw wrong(setting, path, `is cut off: it has ${size} bytes and needs ${end}. Download it again`);
}

/** Elements and bytes of one block, by the type's number in ggml. Of other types only the beginning is checked. */
const BLOCKS: Record<number, readonly [elements: number, bytes: number]> = {
  0: [1, 4],
  1: [1, 2],
  2: [32, 18],
  3: [32, 20],
  6: [32, 22],
  7: [32, 24],
  8: [32, 34],
  10: [256, 84],
  11: [256, 110],
  12: [256, 144],
  13: [256, 176],
  14: [256, 210],
  30: [1, 2],
};

type Tensor = NonNullable<GgufFileInfo["fullTensorInfo"]>[number];

function bytesOf({ dimensions, ggmlType }: Tensor): number {
  const [elements, bytes] = BLOCKS[Number(ggmlType)] ?? [1, 0];
  return (dimensions.reduce((product: number, n) => product * Number(n), 1) / elements) * bytes;
}

/** Only converters that call a projector by its type write the width of the model that it is for. */
function checkFit(model: GgufFileInfo, projector: GgufFileInfo, path: string): void {
  const { general, clip } = projector.metadata as unknown as Record<
    string,
    Record<string, unknown> | undefined
  >;
  const width = (clip?.vision as Record<string, unknown> | undefined)?.projection_dim;
  const wanted = model.architectureMetadata?.embedding_length;
  if (
    general?.type !== "mmproj" ||
    width === undefined ||
    wanted === undefined ||
    Number(width) === Number(wanted)
  )
    return;
  throw wrong(
    "mmproj",
    path,
    `is the projector of another model: it gives ${width} numbers a place, and this model takes ${wanted}`,
  );
}

function wrong(setting: Setting, path: string, what: string, cause?: unknown, hint = ""): KamadoError {
  const message = `${VARIABLES[setting]}: ${path} ${what}. ${hint}`.trim();
  return new KamadoError("config_invalid", message, { cause });
}
