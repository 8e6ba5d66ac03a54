// `kamado demo`: shows the whole way of a job, without an account, a container or a download.
import { Command } from "commander";
import { EXIT } from "../../logging/terminal.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { flagsOf, modelFlags, toVariables } from "../flags.ts";
import { needFolder } from "../left-out.ts";

export function demoCommand(): Command {
  return examples(modelFlags(new Command("demo")), ["demo", "demo --json"])
    .description("run jobs of every kind on an embedded queue and show their results")
    .option("--json", "print one JSON line at the end")
    .action(async (_, command: Command) => {
      const flags = flagsOf(command);
      needFolder("examples");
      configOf(toVariables(flags));
      // Loaded here: the demo brings the sample service and the picture generator, which no other command needs.
      const { demo } = await import("../../../examples/demo/main.ts");
      const ok = await demo(toVariables(flags), { json: flags.json === true });
      process.exitCode = ok ? EXIT.ok : EXIT.failed;
    });
}
