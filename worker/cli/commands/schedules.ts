// `kamado schedules`: the schedules of the Kamado that runs here, with their next and last runs; `run` sends the job of one at once.
import { Command } from "commander";
import { EXIT, localTime, table } from "../../logging/terminal.ts";
import { printable, printableJson } from "../../printable.ts";
import type { ScheduleRow } from "../../schedules/schedules.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf } from "../flags.ts";
import { askService } from "../running-service.ts";

const print = (text: string) => void process.stdout.write(`${text}\n`);

export function schedulesCommand(): Command {
  return examples(new Command("schedules"), [
    "schedules",
    "schedules run front-door",
    "schedules --json | jq .next",
  ])
    .description("list the schedules of the Kamado that runs here, or run one now (docs/schedules.md)")
    .option("--json", "print one JSON line for each schedule")
    .action(async (_, command: Command) => {
      const { items } = (await askService(configOf(), "/schedules")) as { items: ScheduleRow[] };
      if (flagsOf(command).json === true) for (const one of items) print(printableJson(one));
      else print(items.length > 0 ? view(items) : NONE);
      process.exitCode = EXIT.ok;
    })
    .addCommand(
      examples(new Command("run"), ["schedules run front-door"])
        .argument("<name>", "the schedule")
        .description("send its job at once, also while the one before it runs")
        .action(async (name: string) => {
          const path = `/schedules/${encodeURIComponent(name)}/run`;
          const { id } = (await askService(configOf(), path, "POST")) as { id: string };
          print(`queued ${printable(id)}`);
        }),
    );
}

const NONE = "there is no schedule: KAMADO_SCHEDULES_FILE names a file of them (docs/schedules.md)";

function view(items: readonly ScheduleRow[]): string {
  const columns = [
    { title: "NAME", max: 24 },
    { title: "WHEN", max: 18 },
    { title: "NEXT" },
    { title: "LAST", max: "rest" as const },
  ];
  return table(
    columns,
    items.map(({ name, cron, next, last, enabled, problem }) => [
      printable(name),
      printable(cron),
      problem === null ? (next === null ? (enabled ? "never" : "off") : localTime(next)) : "broken",
      problem === null ? lastOf(last) : printable(problem),
    ]),
  );
}

function lastOf(last: ScheduleRow["last"]): string {
  if (last === null) return "not yet";
  const { at, outcome, error } = last;
  return `${localTime(at)} ${outcome}${error ? `: ${printable(error.message)}` : ""}`;
}
