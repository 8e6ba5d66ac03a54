// The order of the test files: those that take longest begin first, so that no core waits for one of them at the end. What an
// earlier run has measured would say it too, but a clean checkout has none. A file that is not named here only starts later.
import { BaseSequencer, type TestSpecification } from "vitest/node";

const SLOWEST = [
  "cli/worker",
  "storm/storm",
  "models/accuracy",
  "cli/dead",
  "cli/model",
  "engine/calibration-process",
  "cli/serve",
  "engine/poison",
  "bench/bench",
  "engine/sharing",
  "engine/llama-node-reuse",
  "conformance/localstack",
  "cli/canaries",
  "solo",
  "cli/attack",
  "engine/supervisor",
  "cli/doors",
  "engine/llama-node",
  "queue/embedded",
  "conformance/moto",
];

export default class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = SLOWEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return at < 0 ? SLOWEST.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}
