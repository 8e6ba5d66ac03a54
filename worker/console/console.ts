// The pages for people: which address shows what, and what each form does. How a page looks is in pages/; what jobs, dead letters and
// destinations are, in the services behind api/services.ts. Who is let in, and the headers of every answer, are server.ts's.
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { setCookie } from "hono/cookie";
import {
  type BulkAction,
  type DeadLettersService,
  type DestinationsService,
  hasEnded,
  JOB_STATES,
  type JobFilter,
  type JobsService,
} from "../api/services.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import { errorAnswer } from "../http/error-answer.ts";
import { excessOf } from "../job/structure.ts";
import { answerChat } from "./chat.ts";
import type { EngineView } from "./engine-view.ts";
import { LANGUAGES } from "./language.ts";
import { LivePages } from "./live.ts";
import { bandwidthOf } from "./memory-bandwidth.ts";
import { chatPage } from "./pages/chat-page.ts";
import { deadConfirmPage, deadFilterOf, deadLetterPage, deadLettersPage } from "./pages/dead-letters-page.ts";
import { destinationsPage } from "./pages/destinations-page.ts";
import { type CatalogueEntry, enginePage } from "./pages/engine-page.ts";
import { jobPage } from "./pages/job-page.ts";
import { bulkPage, filterOf, jobAddress, jobsPage, outcomePage } from "./pages/jobs-page.ts";
import { assets, pageOf } from "./pages/layout.ts";
import {
  type HostedPrice,
  NO_PAST,
  overviewPage,
  type Past,
  RANGES,
  rangeOf,
} from "./pages/overview-page.ts";
import { type SchedulesService, schedulesPage } from "./pages/schedules-page.ts";
import { errorNote } from "./pages/show.ts";
import { kindAddress, kindsPage, submitPage } from "./pages/submit-page.ts";
import { LANGUAGE_COOKIE, type Shown, THEME_COOKIE, THEMES, type View, viewOf } from "./pages/view.ts";
import { ownPath } from "./sign-in.ts";
import type { State } from "./state.ts";
import { emptyForm, submit } from "./submit.ts";

export type ConsoleDeps = {
  state(): State;
  jobs: JobsService;
  deadLetters: DeadLettersService;
  destinations: DestinationsService;
  engine: EngineView;
  price: HostedPrice;
  catalogue?(): readonly CatalogueEntry[];
  /** Gigabytes a second that the engine's machine reads from its memory, if the owner says so. */
  bandwidth?: number | undefined;
  schedules?: SchedulesService | undefined;
  /** Whether whoever asks may change anything. [yes] */
  mayChange?(context: Context): boolean;
  /** Where a session is ended, for whoever has one. */
  signOut?(context: Context): string | undefined;
};

const PAGE_SIZE = 50;
/** Several pictures of a phone. */
const MAX_FORM_BYTES = 64 * 1024 * 1024;
const COUNTED = 1_000;
const COMPARED = 4;

type Live = { everyMs: number; onChange: boolean };
type PageMaker = (view: View, context: Context) => Promise<Shown> | Shown;

export function createConsole(deps: ConsoleDeps): Hono {
  const app = new Hono();
  const live = new LivePages((changed) => deps.jobs.subscribe(changed));
  const may = (context: Context) => deps.mayChange?.(context) ?? true;
  const view = (context: Context) => viewOf(context, Date.now(), may(context));

  async function send(context: Context, shown: Shown): Promise<Response> {
    const page = await pageOf(view(context), shown, deps.signOut?.(context));
    const headers = { "cache-control": "no-store", vary: "accept, accept-language, cookie" };
    return context.html(page, shown.status ?? 200, headers);
  }

  /** The same address is the page, and for its script the stream of its changes. */
  function show(path: string, make: PageMaker, how?: Live): void {
    app.get(path, async (context) => {
      if (how === undefined || context.req.header("accept") !== "text/event-stream")
        return send(context, await make(view(context), context));
      const { language, mayChange } = view(context);
      return live.answer(context, {
        key: JSON.stringify([context.req.url, language, mayChange]),
        draw: async () => String((await make(view(context), context)).live ?? ""),
        ...how,
      });
    });
  }

  app.route("/", assets.app);
  app.use("/console/*", bodyLimit({ maxSize: MAX_FORM_BYTES, onError: tooLarge }));
  app.onError((thrown, context) => onError(context, thrown));

  async function onError(context: Context, thrown: unknown): Promise<Response> {
    const error = toKamadoError(thrown, "handler_failed");
    if (context.req.header("accept")?.includes("json")) return errorAnswer(error);
    const { t } = view(context);
    const shown: Shown = {
      title: t("error"),
      status: error.status as 500,
      before: errorNote(view(context), error),
    };
    return send(context, shown);
  }

  app.get("/console/preferences", (context) => {
    const { language = "", theme = "", back = "/" } = context.req.query();
    const options = { path: "/", maxAge: 365 * 86_400, sameSite: "Lax", httpOnly: true } as const;
    if (language in LANGUAGES) setCookie(context, LANGUAGE_COOKIE, language, options);
    if ((THEMES as readonly string[]).includes(theme)) setCookie(context, THEME_COOKIE, theme, options);
    return context.redirect(ownPath(back), 303);
  });

  overview(deps, show);
  jobs(deps, show, app, send, view);
  submitting(deps, show, app, send, view);
  deadLetters(deps, show, app, send, view);
  others(deps, show, app, send, view);
  return app;
}

type Show = (path: string, make: PageMaker, how?: Live) => void;
type Send = (context: Context, shown: Shown) => Promise<Response>;
type ViewOf = (context: Context) => View;

const tooLarge = () =>
  errorAnswer(
    new KamadoError("body_too_large", "The form has more than 64 MiB.", { hint: "Send smaller files." }),
  );

const WAITS = ["queued", "waiting"] as const;

function overview(deps: ConsoleDeps, show: Show): void {
  const { jobs } = deps;
  async function make(view: View): Promise<Shown> {
    const range = rangeOf(view.query.get("range"));
    const { stepMs, steps } = RANGES[range];
    const end = Math.ceil(view.now / stepMs) * stepMs;
    const [past, slots, dead] = await Promise.all([
      pastOf(jobs, { since: end - steps * stepMs, stepMs, now: view.now }).catch((thrown) => {
        return { ...NO_PAST, error: toKamadoError(thrown, "history_unavailable") };
      }),
      deps.engine.slots(),
      deps.deadLetters.count(),
    ]);
    const { price, state } = deps;
    return overviewPage(view, { ...past, state: state(), range, slots, price, dead });
  }
  show("/", make, { everyMs: 2_000, onChange: false });
}

/** What the history tells. Without it the page still shows how the worker is. */
async function pastOf(
  jobs: JobsService,
  { since, stepMs, now }: { since: number; stepMs: number; now: number },
): Promise<Past> {
  const [counts, history, latest, waiting] = await Promise.all([
    jobs.counts({ since, stepMs }),
    jobs.overview(),
    jobs.list({}, { limit: 8 }),
    jobs.list({ states: WAITS }, { limit: 100 }),
  ]);
  const moments = waiting.items.map(({ sentAt, receivedAt }) => sentAt ?? receivedAt ?? now);
  return {
    counts,
    history,
    latest: latest.items,
    oldest: moments.length > 0 ? Math.min(...moments) : null,
  };
}

function jobs({ jobs, engine }: ConsoleDeps, show: Show, app: Hono, send: Send, view: ViewOf): void {
  const ON_CHANGE = { everyMs: 1_000, onChange: true };
  show(
    "/console/jobs",
    async (view) => {
      const cursor = view.query.get("cursor") ?? undefined;
      const [page, names] = await Promise.all([
        jobs.list(filterOf(view.query, view.now), { cursor, limit: PAGE_SIZE }),
        jobs.names(),
      ]);
      const kinds = new Set([...jobs.kinds().map(({ kind }) => kind), ...names.kinds]);
      return jobsPage(view, { page, kinds: [...kinds], tenants: names.tenants });
    },
    ON_CHANGE,
  );
  show("/console/jobs/bulk", async (view) => {
    const action = actionOf(view.query.get("action"));
    // What comes after the count is not meant.
    const filter = { ...meantBy(action, filterOf(view.query, view.now)), until: view.now };
    const { count, isMore } = await countOf(jobs, filter);
    return bulkPage(view, { action, count, isMore, until: view.now });
  });
  app.post("/console/jobs/bulk", async (context) => {
    const now = view(context);
    const action = actionOf(now.query.get("action"));
    const outcome = await jobs.bulk(meantBy(action, filterOf(now.query, now.now)), action);
    const title = now.t(action === "cancel" ? "bulk_cancel" : "bulk_replay");
    return send(
      context,
      outcomePage(now, title, outcome, { path: "/console/jobs", name: now.t("all_jobs") }),
    );
  });
  show(
    "/console/jobs/:id",
    async (view, context) => {
      const job = await jobs.get(context.req.param("id")!);
      const ids = [...(job.replayOf === null ? [] : [job.replayOf]), ...job.replays].slice(0, COMPARED);
      const [models, ...others] = await Promise.all([
        view.mayChange ? engine.models() : [],
        ...ids.map((id) => jobs.get(id).catch(() => null)),
      ]);
      return jobPage(view, { job, models, others: others.filter((one) => one !== null) });
    },
    ON_CHANGE,
  );
  app.get("/console/jobs/:id/picture", async (context) => {
    const { bytes, contentType } = await jobs.input(
      context.req.param("id"),
      context.req.query("field") ?? "",
    );
    // Only what a browser shows as a picture; anything else might be a page.
    if (!/^image\/(png|jpeg|webp|gif|avif|heic)$/.test(contentType)) return context.notFound();
    return context.body(new Uint8Array(bytes), 200, {
      "content-type": contentType,
      "cache-control": "private, max-age=600",
      "x-content-type-options": "nosniff",
    });
  });
  app.post("/console/jobs/:id/cancel", async (context) => {
    const id = context.req.param("id");
    await jobs.cancel(id);
    return context.redirect(jobAddress(id), 303);
  });
  app.post("/console/jobs/:id/replay", async (context) => {
    const { model } = await context.req.parseBody();
    const wanted = typeof model === "string" ? model.trim() : "";
    const id = context.req.param("id");
    await jobs.replay(id, wanted === "" ? {} : { model: wanted });
    return context.redirect(jobAddress(id), 303);
  });
}

function actionOf(text: string | null): "cancel" | "replay" {
  if (text === "cancel" || text === "replay") return text;
  throw new KamadoError("invalid_input", "action: expected cancel or replay.");
}

/** Only what has not ended can be canceled, and only what has ended is run again. */
function meantBy(action: BulkAction, filter: JobFilter): JobFilter {
  const { states = JOB_STATES } = filter;
  return { ...filter, states: states.filter((one) => hasEnded(one) === (action === "replay")) };
}

async function countOf(jobs: JobsService, filter: Parameters<JobsService["list"]>[0]) {
  let count = 0;
  let cursor: string | undefined;
  do {
    const { items, next } = await jobs.list(filter, { cursor, limit: 100 });
    count += items.length;
    cursor = next ?? undefined;
  } while (cursor !== undefined && count < COUNTED);
  return { count, isMore: cursor !== undefined };
}

function submitting({ jobs, engine }: ConsoleDeps, show: Show, app: Hono, send: Send, view: ViewOf): void {
  const kindOf = (context: Context) => {
    const name = context.req.param("kind")!;
    const kind = jobs.kinds().find((one) => one.kind === name);
    if (kind === undefined) throw new KamadoError("unknown_kind", `There is no kind ${name}.`);
    return kind;
  };
  show("/console/submit", (view) => kindsPage(view, jobs.kinds()));
  show("/console/submit/:kind", async (view, context) => {
    const kind = kindOf(context);
    return submitPage(view, { ...emptyForm(kind), models: await engine.models() });
  });
  app.post("/console/submit/:kind", async (context) => {
    const kind = kindOf(context);
    const now = view(context);
    const result = await submit({ jobs, kind, view: now, form: await context.req.formData() });
    if ("sent" in result) return context.redirect(jobAddress(result.sent.id), 303);
    return send(context, submitPage(now, { ...result, models: await engine.models() }));
  });
  // A link that names the kind in its query, as a form without a script makes it.
  app.get("/console/submit/", (context) =>
    context.redirect(kindAddress(context.req.query("kind") ?? ""), 303),
  );
}

function deadLetters({ deadLetters }: ConsoleDeps, show: Show, app: Hono, send: Send, view: ViewOf): void {
  const PATH = "/console/dead-letters";
  show(PATH, async (view) => deadLettersPage(view, await deadLetters.list(deadFilterOf(view.query))));
  show(`${PATH}/:id`, async (view, context) =>
    deadLetterPage(view, await deadLetters.show(context.req.param("id")!)),
  );
  for (const action of ["redrive", "purge"] as const)
    app.post(`${PATH}/${action}`, async (context) => {
      const now = view(context);
      const form = await context.req.formData();
      const ids = form.getAll("ids").map(String);
      const isChosen = form.get("which") === "chosen";
      const filter = deadFilterOf(now.query, isChosen ? ids : []);
      const isNone = isChosen && ids.length === 0;
      // One that goes back can be dead-lettered again; one that is removed is gone.
      const isAsked = isNone || action === "purge" || !isChosen;
      if (isAsked && form.get("sure") !== "yes") {
        const found = isNone ? { items: [], mayHaveMore: false } : await deadLetters.list(filter);
        const { items, mayHaveMore } = found;
        return send(
          context,
          deadConfirmPage(now, { action, count: items.length, mayHaveMore, ids: isChosen ? ids : [] }),
        );
      }
      if (isNone) return context.redirect(PATH, 303);
      const outcome = await deadLetters[action](filter);
      return send(
        context,
        outcomePage(now, now.t(action), outcome, { path: PATH, name: now.t("nav_dead_letters") }),
      );
    });
}

function others(deps: ConsoleDeps, show: Show, app: Hono, send: Send, view: ViewOf): void {
  const { destinations, engine, state } = deps;
  show("/console/destinations", async (view) => destinationsPage(view, await destinations.list()), {
    everyMs: 2_000,
    onChange: true,
  });
  app.post("/console/destinations/resend", async (context) => {
    const now = view(context);
    const { key } = await context.req.parseBody();
    const outcome = await destinations.resend(String(key));
    const back = { path: "/console/destinations", name: now.t("nav_destinations") };
    return send(context, outcomePage(now, now.t("resend"), outcome, back));
  });
  show(
    "/console/engine",
    async (view) => {
      const [health, slots, totals, models, context] = await Promise.all([
        engine.health(),
        engine.slots(),
        engine.totals(),
        engine.models(),
        engine.context(),
      ]);
      const { catalogue, bandwidth } = deps;
      const cpu = health?.slotsFrom?.measured?.cpu;
      return enginePage(view, {
        state: state(),
        health,
        slots,
        totals,
        models,
        context,
        catalogue: catalogue?.() ?? [],
        bandwidth: bandwidth === undefined ? bandwidthOf(cpu) : bandwidth * 1e9,
      });
    },
    { everyMs: 500, onChange: false },
  );
  show("/console/chat", async (view) =>
    chatPage(view, { models: await engine.models(), model: state().engine.model }),
  );
  app.post("/console/chat", async (context) =>
    answerChat(context, engine, view(context), async (said) =>
      send(
        context,
        chatPage(view(context), { models: await engine.models(), model: state().engine.model, said }),
      ),
    ),
  );
  scheduling(deps, show, app, send, view);
}

function scheduling({ schedules, jobs }: ConsoleDeps, show: Show, app: Hono, send: Send, view: ViewOf): void {
  const PATH = "/console/schedules";
  const kinds = () => jobs.kinds().map(({ kind }) => kind);
  show(PATH, (view) => {
    const rows = schedules?.list() ?? null;
    const chosen = rows?.find(({ name, source }) => source === "console" && name === view.query.get("edit"));
    const texts =
      chosen &&
      new Map(
        Object.entries({
          was: chosen.name,
          name: chosen.name,
          cron: chosen.cron,
          timezone: chosen.timezone,
          kind: chosen.kind,
          input: JSON.stringify(chosen.input, null, 2),
        }),
      );
    return schedulesPage(view, { rows, kinds: kinds(), ...(texts && { edited: { texts } }) });
  });
  if (schedules === undefined) return;
  app.post(PATH, async (context) => {
    const form = await context.req.parseBody();
    const texts = new Map(Object.entries(form).map(([name, value]) => [name, String(value)]));
    try {
      const { was, input = "{}", ...rest } = Object.fromEntries([...texts].filter(([, text]) => text !== ""));
      const written = { ...rest, input: jsonOf(input) };
      await (was === undefined ? schedules.add(written) : schedules.edit(was, written));
    } catch (thrown) {
      if (!(thrown instanceof KamadoError)) throw thrown;
      const rows = schedules.list();
      return send(
        context,
        schedulesPage(view(context), { rows, kinds: kinds(), edited: { texts, error: thrown } }),
      );
    }
    return context.redirect(PATH, 303);
  });
  const named = async (context: Context) => String((await context.req.parseBody()).name);
  app.post(`${PATH}/run`, async (context) =>
    context.redirect(jobAddress((await schedules.runNow(await named(context))).id), 303),
  );
  for (const [path, act] of [
    ["pause", (name: string) => schedules.edit(name, { enabled: false })],
    ["resume", (name: string) => schedules.edit(name, { enabled: true })],
    ["remove", (name: string) => schedules.remove(name)],
  ] as const)
    app.post(`${PATH}/${path}`, async (context) => {
      await act(await named(context));
      return context.redirect(PATH, 303);
    });
}

function jsonOf(text: string): unknown {
  const excess = excessOf(text);
  if (excess !== null) throw new KamadoError("invalid_input", `input: it ${excess}.`);
  try {
    return JSON.parse(text);
  } catch {
    throw new KamadoError("invalid_input", "input: expected JSON.");
  }
}
