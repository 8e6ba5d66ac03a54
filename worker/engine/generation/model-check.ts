// Whether the files of a model can work at all, from their headers, before anything else is done with them: native code says little
// about a wrong file, or ends the process. What is found here stays so however often the engine is started, so it names the setting.
import { accessSync, constants, type Stats, statSync } from "node:fs";
import type { GgufFileInfo } from "node-llama-cpp";
import { KamadoError } from "../../errors.ts";
import { nearestModel } from "../../models/catalogue.ts";

/** Of a GGUF file. The library takes longer to load than most commands run, so it is loaded when a header is read. */
export async function readHeader(path: string): Promise<GgufFileInfo> {
  const { readGgufFileInfo } = await import("node-llama-cpp");
  return readGgufFileInfo(path, { sourceType: "filesystem", logWarnings: false });
}

/** The names by which users know the two files. */
export const VARIABLES = { model: "KAMADO_MODEL", mmproj: "KAMADO_MMPROJ" } as const;
type Setting = keyof typeof VARIABLES;
export type Files = { model?: string | undefined; mmproj?: string | undefined };
/** How many bytes the files will have, where only their beginnings are on the disk yet. */
export type Sizes = Partial<Record<Setting, number>>;

/** Throws `config_invalid` for files that can never work. */
export async function checkFiles({ model, mmproj }: Files, sizes: Sizes = {}): Promise<void> {
  const text = model === undefined ? undefined : await checked("model", model, sizes);
  if (mmproj === undefined) return;
  const projector = await checked("mmproj", mmproj, sizes);
  if (text !== undefined) checkFit(text, projector, mmproj);
}

async function checked(setting: Setting, path: string, sizes: Sizes): Promise<GgufFileInfo> {
  const refuse = (what: string, hint: string, cause?: unknown) => wrong(setting, path, what, hint, cause);
  const here = sizeOf(path, refuse);
  const size = sizes[setting] ?? here;
  const info = await readHeader(path).catch((cause) => {
    throw refuse("is not a GGUF file, or its header is damaged", DOWNLOAD, cause);
  });
  const isProjector = String(info.metadata.general?.architecture) === "clip";
  if (isProjector !== (setting === "mmproj"))
    throw refuse(isProjector ? "is a projector, not a model" : "is no projector", SWAPPED);
  const end = endOf(info);
  if (end === 0) throw refuse("has no weights", DOWNLOAD);
  if (end > size) throw refuse(`is cut off: it has ${size} bytes and needs ${end}`, DOWNLOAD);
  return info;
}

type Refuse = (what: string, hint: string, cause?: unknown) => KamadoError;

const DOWNLOAD = "Download it again.";
const SWAPPED = `${VARIABLES.model} is the model, ${VARIABLES.mmproj} its projector; they may be swapped.`;

function sizeOf(path: string, refuse: Refuse): number {
  const file = statOf(path, refuse);
  if (file === undefined) throw refuse("does not exist", insteadOf(path));
  if (file.isDirectory()) throw refuse("is a folder, not a file", PATH);
  if (!file.isFile()) throw refuse("is not a file", PATH);
  if (file.size === 0) throw refuse("is empty", DOWNLOAD);
  return file.size;
}

/** Undefined when there is no such file. */
function statOf(path: string, refuse: Refuse): Stats | undefined {
  // A zero character ends a path, and Node refuses it.
  if (path.includes("\0")) return undefined;
  try {
    const file = statSync(path, { throwIfNoEntry: false });
    if (file?.isFile()) accessSync(path, constants.R_OK);
    return file;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw refuse(`cannot be read (${code})`, CANNOT_READ, cause);
  }
}

const PATH = "It is the path of a GGUF file, such as /models/gemma-3-4b-it-Q4_K_M.gguf.";
const CANNOT_READ = "Let the user that runs Kamado read the file and enter the folders above it.";

/** What may have been meant by a path where there is nothing. */
function insteadOf(path: string): string {
  if (/^https?:/i.test(path)) return `${PATH} Download the file and name where it is.`;
  if (path !== path.trim()) return `${PATH} This one begins or ends with a space.`;
  if (path.startsWith("~")) return `${PATH} Write ~ out: only a shell reads it as your home folder.`;
  return NAME.test(path) ? `${PATH} ${pullHint(path)}${OLLAMA}` : PATH;
}

/** A name of the catalogue whose model is not here, or nearly one. */
function pullHint(name: string): string {
  const near = nearestModel(name);
  if (near === undefined) return "`kamado model list` shows models that have a name. ";
  const pull = `\`kamado model pull ${near}\` fetches it.`;
  return near === name ? `This is a name of the catalogue: ${pull} ` : `Did you mean ${near}? ${pull} `;
}

/** `gemma3`, `gemma3:4b` or `hf.co/who/what:Q4_K_M`, and nothing that looks like a path. */
const NAME = /^(?!.*\.gguf$)([\w.-]+|(?![./])[\w./-]+:[\w.-]+)$/i;
const OLLAMA = "To use a model of Ollama by its name, set KAMADO_ENGINE_URL=http://127.0.0.1:11434 too.";

/** Where the last weight ends. A download that broke off has its whole header, and weights that the file does not reach to. */
function endOf(info: GgufFileInfo): number {
  // A model may be split into several files; each other part is found when it is read.
  const tensors = (info.fullTensorInfo ?? []).filter(({ filePart }) => filePart === 1);
  return tensors.reduce((end, tensor) => Math.max(end, Number(tensor.fileOffset) + bytesOf(tensor)), 0);
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
  const { general, clip } = projector.metadata as { general?: Fields; clip?: { vision?: Fields } };
  const width = clip?.vision?.projection_dim;
  const wanted = model.architectureMetadata?.embedding_length;
  if (general?.type !== "mmproj" || width === undefined || wanted === undefined) return;
  if (Number(width) === Number(wanted)) return;
  const why = `it gives ${width} numbers a place, and this model takes ${wanted}`;
  throw wrong(
    "mmproj",
    path,
    `is the projector of another model: ${why}`,
    "Use the one that was published with the model.",
  );
}

type Fields = Record<string, unknown>;

function wrong(setting: Setting, path: string, what: string, hint: string, cause?: unknown): KamadoError {
  return new KamadoError("config_invalid", `${VARIABLES[setting]}: ${path} ${what}.`, { cause, hint });
}
