// A process of its own that prints how much memory a model needs; memory-need.ts starts it.
import { estimate } from "./memory-need.ts";

process.stdout.write(`${JSON.stringify(await estimate(process.argv[2]!))}\n`);
process.exit(0);
