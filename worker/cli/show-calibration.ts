// Shows how the engine chose its slots; nothing when the user set them.
import type { Ready } from "../engine/protocol.ts";
import { paint } from "../logging/terminal.ts";

export function showCalibration(info: Pick<Ready, "calibration"> | undefined): void {
  const [title, heads, ...rows] = info?.calibration ?? [];
  if (title === undefined || heads === undefined) return;
  const lines = rows.map((row) => (row.startsWith("->") ? paint("yellow", row) : row));
  const all = [paint("bold", title), paint("dim", heads), ...lines];
  process.stdout.write(`\n${all.map((line) => `  ${line}`).join("\n")}\n\n`);
}
