// A folder that is removed when the stack is disposed, whether the measurement succeeded or not.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function temporaryFolder(stack: AsyncDisposableStack): string {
  const folder = mkdtempSync(join(tmpdir(), "kamado-bench-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
