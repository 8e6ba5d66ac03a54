// A folder that goes when whoever made it is done, however that ends.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export function temporaryFolder(stack: AsyncDisposableStack): string {
  const folder = mkdtempSync(join(tmpdir(), "kamado-bench-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
