// Pictures of a thumb-turn lock on a door: the bar is horizontal when it is locked and vertical when it is unlocked.
import { box, Canvas, type Colour, capsule, circle, everywhere, grown, placed, slope } from "./canvas.ts";
import type { Picture } from "./clip.ts";
import { type Random, random } from "./random.ts";

export const COLOURS = {
  red: [200, 40, 40],
  green: [40, 160, 60],
  blue: [50, 80, 200],
  yellow: [220, 200, 50],
  white: [235, 235, 235],
  black: [25, 25, 25],
} as const satisfies Record<string, Colour>;
export type ColourName = keyof typeof COLOURS;
export const COLOUR_NAMES = Object.keys(COLOURS) as ColourName[];

export type LockWish = {
  seed: number;
  /** horizontal is locked, vertical is unlocked */
  orientation?: "horizontal" | "vertical";
  colour?: ColourName;
  /** false: a door without a lock, or with a round knob */
  present?: boolean;
  width?: number;
  height?: number;
};
export type LockMeta = { present: boolean; orientation: "horizontal" | "vertical"; colour: ColourName };
export type LockPicture = Picture & { meta: LockMeta };

const anyColour = (r: Random): Colour => {
  const grey = r.int(30, 220);
  const near = () => Math.max(0, Math.min(255, grey + r.normal() * 8));
  return r.chance(0.4) ? [near(), near(), near()] : [r.int(20, 235), r.int(20, 235), r.int(20, 235)];
};
const distance = (a: Colour, b: Colour) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** A colour the bar is clearly seen on. */
function colourUnder(r: Random, bar: Colour): Colour {
  const colour = anyColour(r);
  return distance(colour, bar) > 110 ? colour : colourUnder(r, bar);
}

function paintDoor(r: Random, canvas: Canvas, base: Colour): void {
  canvas.paint(everywhere, base, slope(r.between(0, 2 * Math.PI), r.between(0, 40)));
  for (let line = r.int(0, 3); line > 0; line--) {
    const at = r.between(0.3, 0.5) * (r.chance(0.5) ? 1 : -1);
    const thickness = r.between(0.004, 0.025);
    const isUpright = r.chance(0.5);
    canvas.paint((x, y) => Math.abs((isUpright ? x : y) - at) - thickness, anyColour(r));
  }
}

type Place = { x: number; y: number; length: number; width: number };

function paintPlate(r: Random, canvas: Canvas, colour: Colour, { x, y, length }: Place): void {
  const size = length * (r.chance(0.8) ? r.between(1.08, 1.35) : r.between(0.55, 0.85));
  const shape = placed(r.chance(0.6) ? circle(size) : box(size, size), x, y);
  const rim: Colour = [colour[0] * 0.6, colour[1] * 0.6, colour[2] * 0.6];
  if (r.chance(0.4)) canvas.paint(grown(shape, r.between(0.01, 0.03)), rim);
  canvas.paint(shape, colour, slope(r.between(0, 2 * Math.PI), r.between(0, 40)));
}

function paintBar(r: Random, canvas: Canvas, colour: Colour, place: Place, isUpright: boolean): void {
  const { x, y, length, width } = place;
  const tilt = (r.between(-15, 15) / 180) * Math.PI;
  const angle = tilt + (isUpright ? Math.PI / 2 : 0);
  const outline = r.chance(0.5) ? box(length, width) : capsule(length, width);
  if (r.chance(0.5)) {
    const shadow = placed(outline, x + r.between(-0.03, 0.03), y + r.between(0, 0.04), angle);
    canvas.paint(shadow, [0, 0, 0], undefined, 0.4);
  }
  canvas.paint(placed(outline, x, y, angle), colour, slope(angle + Math.PI / 2, r.between(-60, 60)));
  const dark: Colour = [colour[0] / 2, colour[1] / 2, colour[2] / 2];
  if (r.chance(0.25)) canvas.paint(placed(circle(width * 0.4), x, y), dark);
}

/** Draws a door with a thumb-turn. The seed decides whatever the wish does not. */
export function drawLock(wish: LockWish): LockPicture {
  const r = random(wish.seed, "lock");
  const meta: LockMeta = {
    present: wish.present ?? r.chance(0.9),
    orientation: wish.orientation ?? r.pick(["horizontal", "vertical"] as const),
    colour: wish.colour ?? r.pick(COLOUR_NAMES),
  };
  const [red, green, blue] = COLOURS[meta.colour];
  const bar: Colour = [red + r.normal() * 6, green + r.normal() * 6, blue + r.normal() * 6];
  const length = r.between(0.2, 0.36);
  const place = {
    x: r.between(-0.13, 0.13),
    y: r.between(-0.13, 0.13),
    length,
    width: length * r.between(0.2, 0.42),
  };

  const canvas = new Canvas(wish.width ?? 256, wish.height ?? wish.width ?? 256);
  paintDoor(r, canvas, colourUnder(r, bar));
  if (r.chance(0.85)) paintPlate(r, canvas, colourUnder(r, bar), place);
  if (meta.present) paintBar(r, canvas, bar, place, meta.orientation === "vertical");
  else if (r.chance(0.5)) canvas.paint(placed(circle(place.width * 1.2), place.x, place.y), bar);
  const camera = {
    contrast: r.between(0.8, 1.15),
    brightness: r.between(-20, 20),
    grain: r.between(0, 8),
    colourNoise: r.between(0, 6),
  };
  return { ...canvas.develop(r, camera), meta };
}
