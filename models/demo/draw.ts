// Draws a door with a thumb-turn, for trying image.check: node models/demo/draw.ts --orientation vertical door.png
import { parseArgs } from "node:util";
import sharp from "sharp";
import { drawLock } from "./data/locks.ts";
import { HELD_OUT } from "./data/random.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    orientation: { type: "string", default: "horizontal" },
    seed: { type: "string", default: "1" },
    size: { type: "string", default: "256" },
  },
});
const [file] = positionals;
const { orientation } = values;
if (file === undefined || (orientation !== "horizontal" && orientation !== "vertical")) {
  console.error(
    "usage: node models/demo/draw.ts [--orientation horizontal|vertical] [--seed N] [--size PIXELS] FILE.png",
  );
  process.exit(2);
}

// Seeds past HELD_OUT were never used in training.
const { rgb, width, height } = drawLock({
  seed: HELD_OUT + Number(values.seed),
  orientation,
  present: true,
  width: Number(values.size),
});
await sharp(rgb, { raw: { width, height, channels: 3 } })
  .png()
  .toFile(file);
console.log(
  `${file}: the bar is ${orientation}, so the door is ${orientation === "horizontal" ? "locked" : "unlocked"}`,
);
