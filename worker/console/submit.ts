// What a filled form becomes: its pictures are uploaded, its fields become the input, and the job is sent. What is wrong goes back to the
// fields it is about, with everything that was written.
import type { JobsService } from "../api/services.ts";
import { KamadoError } from "../errors.ts";
import type { NewJob, SentJob } from "../job/send-jobs.ts";
import { excessOf } from "../job/structure.ts";
import { inputFrom, itemsOf, picturePaths, wrongFields } from "./pages/schema-form.ts";
import { EMPTY_FORM, type Kind, type SubmitForm } from "./pages/submit-page.ts";
import type { View } from "./pages/view.ts";

type Form = Omit<SubmitForm, "models">;

export const emptyForm = (kind: Kind): Form => ({ kind, filled: EMPTY_FORM, json: "{\n  \n}" });

type Submitted = { jobs: JobsService; kind: Kind; view: View; form: FormData };

export async function submit({ jobs, kind, view, form }: Submitted): Promise<{ sent: SentJob } | Form> {
  const texts = textsOf(form);
  const wrong = new Map<string, string>();
  const json = texts.get("json");
  const back = (error?: KamadoError): Form => ({ kind, filled: { texts, wrong }, json: json ?? "{}", error });
  const more = form.get("add");
  if (typeof more === "string") {
    texts.set(`${more}.${Math.max(1, itemsOf(texts, more))}.`, "");
    return back();
  }
  try {
    if (json === undefined) await upload({ jobs, kind, view, texts, wrong }, form);
    const input = inputOf({ kind, view, json, texts, wrong });
    const policy = policyOf(texts);
    if (wrong.size > 0) return back();
    return { sent: await jobs.submit({ kind: kind.kind, input, ...policy }) };
  } catch (thrown) {
    if (!(thrown instanceof KamadoError)) throw thrown;
    if (thrown.code !== "invalid_input" || json !== undefined) return back(thrown);
    const found = wrongFields(thrown.message.replace(/^The input[^:]*: /, ""), kind.input);
    for (const [path, words] of found.wrong)
      wrong.set(path, words.includes("received undefined") ? view.t("field_empty") : words);
    return back(found.wrong.size > 0 && found.rest.length === 0 ? undefined : thrown);
  }
}

function textsOf(form: FormData): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [name, value] of form) if (typeof value === "string" && name !== "add") texts.set(name, value);
  return texts;
}

/** A picture that was chosen counts more than an address beside it. */
async function upload(
  { jobs, kind, view, texts, wrong }: Filling & { jobs: JobsService },
  form: FormData,
): Promise<void> {
  for (const path of picturePaths(kind.input)) {
    const files = [form.get(`${path}.file`), form.get(`${path}.camera`)];
    const file = files.find((one) => one instanceof File && one.size > 0) as File | undefined;
    if (file === undefined) continue;
    const bytes = new Uint8Array(await file.arrayBuffer());
    const { address, contentType } = await jobs.upload(bytes, { name: file.name });
    if (contentType.startsWith("image/")) texts.set(path, address);
    else wrong.set(path, view.t("not_a_picture"));
  }
}

type Filling = { kind: Kind; view: View; texts: Map<string, string>; wrong: Map<string, string> };

function inputOf(given: Filling & { json: string | undefined }): unknown {
  const { kind, view, json, texts, wrong } = given;
  if (json === undefined) return inputFrom(kind.input, texts, wrong, view.t("not_json"));
  const excess = excessOf(json);
  if (excess !== null) throw new KamadoError("invalid_input", `The JSON ${excess}.`);
  try {
    return JSON.parse(json);
  } catch (thrown) {
    wrong.set("json", `${view.t("not_json")} ${(thrown as Error).message}`);
    return undefined;
  }
}

function policyOf(texts: ReadonlyMap<string, string>): Pick<NewJob, "policy" | "deliver"> {
  const text = (name: string) => texts.get(`policy.${name}`)?.trim() || undefined;
  const numeric = (name: string) => {
    const value = text(name);
    return value === undefined ? undefined : Number(value);
  };
  const policy = Object.fromEntries(
    Object.entries({
      model: text("model"),
      priority: numeric("priority"),
      timeoutSeconds: numeric("timeoutSeconds"),
    }).filter(([, value]) => value !== undefined),
  ) as NonNullable<NewJob["policy"]>;
  const callback = text("callback");
  return {
    ...(Object.keys(policy).length > 0 && { policy }),
    ...(callback !== undefined && { deliver: [{ callback }] }),
  };
}
