// Machines that are not here: each command answers what a test says, and fails where it says nothing.
import type { Machine } from "../../worker/service/machine.ts";

type Answer = string | null | { code: number; out?: string };

export function fakeMachine(
  platform: NodeJS.Platform,
  answers: Record<string, Answer> = {},
  home = "/nowhere",
): Machine & { ran: string[] } {
  const ran: string[] = [];
  return {
    platform,
    uid: 501,
    user: "anna",
    home,
    systemRoot: `${home}/root`,
    ran,
    async run(command) {
      const line = command.join(" ");
      ran.push(line);
      const answer = answers[line];
      if (typeof answer === "string") return { code: 0, out: answer, errors: "" };
      return { code: answer?.code ?? 1, out: answer?.out ?? "", errors: "" };
    },
  };
}
