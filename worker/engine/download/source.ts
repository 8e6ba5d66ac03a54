// Where the files of a model are: a name of the catalogue, `hf:owner/repo/file.gguf`, or an address. What a repository on Hugging Face
// says of itself (its licence, its projector) is asked here too. Fetching the files is left to download.ts.
import { basename } from "node:path";
import { KamadoError } from "../../errors.ts";
import { readWhole } from "../../http/bounded-body.ts";
import {
  type CatalogueFile,
  type CatalogueModel,
  inCatalogue,
  nearestModel,
} from "../../models/catalogue.ts";
import { isModelName } from "../../models/installed.ts";
import type { Requests } from "./requests.ts";

export type Role = "model" | "mmproj";
export type WantedFile = {
  url: string;
  file: string;
  role: Role;
  sha256: string | undefined;
  /** As others report it; what the server says counts. */
  reportedBytes?: number;
};
type Repo = { id: string; revision: string };
export type Source = {
  name: string;
  /** For people and for model.json: without what may be a secret. */
  from: string;
  licence: string | undefined;
  /** As the catalogue has it. Its repository says what counts. */
  reportedLicence?: string;
  files: WantedFile[];
  /** Where a projector and a licence may be found. */
  repo: Repo | undefined;
};

export type Asked = {
  source: string;
  name?: string | undefined;
  /** A projector's source, or the name of a file in the same repository. `none`: it is not wanted. */
  mmproj?: string | undefined;
  sha256?: string | undefined;
};

/** Throws `unknown_model`, `invalid_input`. */
export function sourceOf(asked: Asked, endpoint: string, installed: readonly string[] = []): Source {
  const { source, sha256 } = asked;
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256))
    throw new KamadoError("invalid_input", "--sha256: it must have 64 hexadecimal digits.");
  const known = inCatalogue(source);
  if (known) return named(fromCatalogue(known, endpoint, asked), asked);
  const place = placeOf(source, endpoint);
  if (place === undefined) throw unknown(source, installed);
  const model = wanted(place.url, "model", asked.name, sha256?.toLowerCase());
  const parts = partsOf(model);
  if (sha256 !== undefined && parts.length > 1)
    throw new KamadoError(
      "invalid_input",
      `--sha256: the model has ${parts.length} files, each with another checksum.`,
    );
  const name = (asked.name ?? model.file).replace(/\.gguf$/i, "").replace(/-00001-of-\d{5}$/, "");
  const files = [...parts, ...projectorOf(asked, place.repo, endpoint)];
  return named({ name, from: place.shown, licence: undefined, files, repo: place.repo }, asked);
}

function named(source: Source, { name = source.name }: Asked): Source {
  if (isModelName(name)) return { ...source, name };
  const why = "must begin with a letter or digit and have only letters, digits and . _ + -";
  throw new KamadoError("invalid_input", `--name ${name}: a model's name ${why}.`);
}

function fromCatalogue(
  { name, licence, repo: id, model, mmproj }: CatalogueModel,
  endpoint: string,
  asked: Asked,
): Source {
  const repo = { id, revision: "main" };
  const given = (role: Role) => (role === "model" ? asked.sha256?.toLowerCase() : undefined);
  const file = ({ file, bytes, bytesAre, sha256 }: CatalogueFile, role: Role): WantedFile => ({
    ...wanted(addressIn(endpoint, repo, file), role, undefined, given(role) ?? sha256 ?? undefined),
    ...(bytes !== null && bytesAre === "reported" && { reportedBytes: bytes }),
  });
  const own = mmproj === null ? [] : [file(mmproj, "mmproj")];
  const projector = asked.mmproj === undefined ? own : projectorOf(asked, repo, endpoint);
  const from = `hf:${id}/${model.file}`;
  const files = [file(model, "model"), ...projector];
  return { name, from, licence: undefined, reportedLicence: licence, files, repo };
}

function projectorOf({ mmproj }: Asked, repo: Repo | undefined, endpoint: string): WantedFile[] {
  if (mmproj === undefined || mmproj === "none") return [];
  const url =
    placeOf(mmproj, endpoint)?.url ?? (repo !== undefined ? addressIn(endpoint, repo, mmproj) : undefined);
  if (url !== undefined) return [wanted(url, "mmproj", undefined, undefined)];
  throw new KamadoError("invalid_input", `--mmproj ${mmproj}: give hf:owner/repo/file.gguf or an address.`);
}

type Place = { url: string; shown: string; repo: Repo | undefined };

function placeOf(source: string, endpoint: string): Place | undefined {
  const short = /^(?:hf|huggingface):\/*(.*)$/i.exec(source)?.[1] ?? /^(?:hf\.co)\/(.*)$/i.exec(source)?.[1];
  if (short !== undefined) return inRepo(short, endpoint);
  if (!/^https?:\/\//i.test(source)) return undefined;
  if (!URL.canParse(source)) throw new KamadoError("invalid_input", `${source}: this is no valid address.`);
  const url = new URL(source);
  if (url.username !== "" || url.password !== "")
    throw new KamadoError("invalid_input", "The address must not hold a name or a password.");
  const path = /^\/([^/]+\/[^/]+)\/(?:resolve|blob)\/([^/]+)\/(.+)$/.exec(url.pathname);
  if (path && (url.origin === new URL(endpoint).origin || HUGGING_FACE.test(url.hostname)))
    return inRepo(`${path[1]}/${decoded(path[3]!)}#${path[2]}`, endpoint);
  return { url: url.href, shown: `${url.origin}${url.pathname}`, repo: undefined };
}

const HUGGING_FACE = /^(www\.)?(huggingface\.co|hf\.co)$/;

/** A stray % stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const HOW = "Write hf:owner/repo/file.gguf, such as hf:ggml-org/gemma-3-4b-it-GGUF/gemma-3-4b-it-Q4_K_M.gguf";

/** `owner/repo/file.gguf`, with `#revision` where it is not main. */
function inRepo(text: string, endpoint: string): Place {
  const [, id, file, revision = "main"] = /^([\w.-]+\/[\w.-]+)\/([^#]+?)(?:#([\w./-]+))?$/.exec(text) ?? [];
  if (id === undefined || file === undefined || file.split("/").includes(".."))
    throw new KamadoError("invalid_input", `hf:${text} names no file. ${HOW}.`);
  const repo = { id, revision };
  const shown = `hf:${id}/${file}${revision === "main" ? "" : `#${revision}`}`;
  return { url: addressIn(endpoint, repo, file), shown, repo };
}

const addressIn = (endpoint: string, { id, revision }: Repo, file: string) =>
  `${endpoint.replace(/\/+$/, "")}/${id}/resolve/${encodeURIComponent(revision)}/${file.split("/").map(encodeURIComponent).join("/")}`;

function wanted(url: string, role: Role, name: string | undefined, sha256: string | undefined): WantedFile {
  const last = basename(decoded(new URL(url).pathname));
  const named = name && `${name.replace(/\.gguf$/i, "")}.gguf`;
  // On the disk, spaces and the like are dashes.
  const own = last.replaceAll(/[^\w.+-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  const file = /.\.gguf$/i.test(own) && isModelName(own) ? own : named;
  if (file !== undefined && isModelName(file)) return { url, file, role, sha256 };
  const why = /\.gguf$/i.test(last) ? "is no name for a file here" : "does not end with .gguf";
  const what = role === "model" ? "give --name" : "name another projector with --mmproj, or none";
  throw new KamadoError("invalid_input", `${last || url} ${why}; ${what}.`);
}

/** A big model may be split: `x-00001-of-00003.gguf` stands for three files. */
function partsOf(model: WantedFile): WantedFile[] {
  const [, number, count = "1"] = /-(\d{5})-of-(\d{5})\.gguf$/i.exec(model.file) ?? [];
  if (number === undefined) return [model];
  if (Number(number) !== 1 || Number(count) > 99)
    throw new KamadoError("invalid_input", `${model.file}: name the first part, …-00001-of-${count}.gguf.`);
  const part = (text: string, index: number) =>
    text.replace(`-00001-of-${count}`, `-${String(index).padStart(5, "0")}-of-${count}`);
  return Array.from({ length: Number(count) }, (_, index) => ({
    ...model,
    url: part(model.url, index + 1),
    file: part(model.file, index + 1),
  }));
}

function unknown(asked: string, installed: readonly string[]): KamadoError {
  const near = nearestModel(asked, installed);
  const what = near === undefined ? "" : `; did you mean ${near}?`;
  const ollama = /:/.test(asked) ? " Names of Ollama are not known here." : "";
  return new KamadoError(
    "unknown_model",
    `There is no model ${asked} in the catalogue${what || "."}${ollama}`,
  );
}

const MAX_ANSWER = 4 * 1024 * 1024;
type RepoFacts = { siblings?: unknown; cardData?: Record<string, unknown> | null };

/**
 * Adds the licence that the repository names, and its projector unless one is asked for or it is not wanted. A mirror may not know the
 * question; then the source stays as it is, and the reason is returned.
 */
export async function askRepository(
  source: Source,
  requests: Requests,
  wantsProjector: boolean,
  signal: AbortSignal,
): Promise<{ source: Source; unanswered: string | undefined }> {
  const { repo } = source;
  const has = source.files.some(({ role }) => role === "mmproj");
  if (repo === undefined) return { source, unanswered: undefined };
  let facts: RepoFacts;
  try {
    facts = await factsOf(repo, requests, signal);
  } catch (thrown) {
    signal.throwIfAborted();
    const isKnown = source.reportedLicence !== undefined && (has || !wantsProjector);
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { source, unanswered: isKnown ? undefined : why };
  }
  const licence = licenceOf(facts);
  const own = source.files.map(({ file }) => file);
  const found = has || !wantsProjector ? undefined : projectorIn(facts, own);
  if (found === undefined) return { source: { ...source, licence }, unanswered: undefined };
  const projector = wanted(addressIn(requests.endpoint, repo, found), "mmproj", undefined, undefined);
  return { source: { ...source, licence, files: [...source.files, projector] }, unanswered: undefined };
}

async function factsOf({ id, revision }: Repo, requests: Requests, signal: AbortSignal): Promise<RepoFacts> {
  const url = `${requests.endpoint.replace(/\/+$/, "")}/api/models/${id}/revision/${encodeURIComponent(revision)}`;
  const { status, headers, body } = await requests.get(url, { accept: "application/json" }, signal);
  const tooLarge = () => new Error("the answer is too long");
  const bytes = await readWhole(body, {
    maxBytes: MAX_ANSWER,
    announced: headers["content-length"],
    tooLarge,
  });
  if (status !== 200) throw new Error(`the answer was ${status}`);
  const facts = JSON.parse(Buffer.from(bytes).toString("utf8")) as RepoFacts | null;
  if (typeof facts !== "object" || facts === null) throw new Error("the answer is no object");
  return facts;
}

function licenceOf({ cardData }: RepoFacts): string | undefined {
  const { license, license_name: name } = cardData ?? {};
  const text = license === "other" && typeof name === "string" ? name : license;
  return typeof text === "string" && text !== "" ? text : undefined;
}

/** Half the size of F16 and as good: Q8_0 comes first. */
const BEST = [/q8_0/i, /f16(?<!bf16)/i, /bf16/i];

/** `own`: a projector that was named in place of the model is not its own projector; what it is, its header says. */
function projectorIn({ siblings }: RepoFacts, own: readonly string[]): string | undefined {
  const names = (Array.isArray(siblings) ? siblings : [])
    .map((one) => String(one?.rfilename))
    .filter((name) => !own.includes(basename(name)));
  const projectors = names.filter((name) => /(^|[/-])mmproj[^/]*\.gguf$/i.test(name));
  const best = BEST.map((pattern) => projectors.find((name) => pattern.test(name)));
  return best.find((name) => name !== undefined) ?? projectors[0];
}
