// A picture while it is drawn: floating point colours, shapes given by their distance functions, soft edges.
// Coordinates run from -0.5 to 0.5 along the shorter side, the centre is 0, 0.
import type { Picture } from "./clip.ts";
import type { Random } from "./random.ts";

export type Colour = readonly [number, number, number];
/** How far outside a shape a point is; negative inside. */
export type Shape = (x: number, y: number) => number;
/** What to add to the colour at a point: light falling from a side. */
export type Shade = (x: number, y: number) => number;

export const flat: Shade = () => 0;
export const slope = (angle: number, strength: number): Shade => {
  const [dx, dy] = [Math.cos(angle) * strength, Math.sin(angle) * strength];
  return (x, y) => dx * x + dy * y;
};

export class Canvas {
  readonly #width: number;
  readonly #height: number;
  readonly #colours: Float32Array;

  constructor(width: number, height: number) {
    this.#width = width;
    this.#height = height;
    this.#colours = new Float32Array(width * height * 3);
  }

  /** Paints a shape over the picture; it is transparent with an `opacity` below 1. */
  paint(shape: Shape, colour: Colour, shade: Shade = flat, opacity = 1): void {
    const side = Math.min(this.#width, this.#height);
    const edge = 1.2 / side;
    for (let row = 0, at = 0; row < this.#height; row++) {
      const y = (row + 0.5 - this.#height / 2) / side;
      for (let col = 0; col < this.#width; col++, at += 3) {
        const x = (col + 0.5 - this.#width / 2) / side;
        const cover = Math.max(0, Math.min(1, 0.5 - shape(x, y) / edge)) * opacity;
        if (cover === 0) continue;
        const light = shade(x, y);
        for (let channel = 0; channel < 3; channel++) {
          const under = this.#colours[at + channel]!;
          this.#colours[at + channel] = under + (colour[channel]! + light - under) * cover;
        }
      }
    }
  }

  /** The finished picture, as a camera gives it: contrast and brightness off a little, noise. */
  develop(
    r: Random,
    camera: { contrast: number; brightness: number; grain: number; colourNoise: number },
  ): Picture {
    const rgb = new Uint8Array(this.#colours.length);
    for (let at = 0; at < rgb.length; at += 3) {
      const grain = r.normal() * camera.grain;
      for (let channel = 0; channel < 3; channel++) {
        const noise = grain + r.normal() * camera.colourNoise;
        const value =
          (this.#colours[at + channel]! - 128) * camera.contrast + 128 + camera.brightness + noise;
        rgb[at + channel] = Math.max(0, Math.min(255, Math.round(value)));
      }
    }
    return { width: this.#width, height: this.#height, rgb };
  }
}

export const everywhere: Shape = () => -1;
export const circle =
  (radius: number): Shape =>
  (x, y) =>
    Math.hypot(x, y) - radius;
export const box =
  (halfWidth: number, halfHeight: number): Shape =>
  (x, y) =>
    Math.max(Math.abs(x) - halfWidth, Math.abs(y) - halfHeight);
/** A bar along x with round ends. */
export const capsule =
  (halfLength: number, halfWidth: number): Shape =>
  (x, y) =>
    Math.hypot(Math.max(Math.abs(x) - halfLength + halfWidth, 0), y) - halfWidth;
export const grown =
  (shape: Shape, by: number): Shape =>
  (x, y) =>
    shape(x, y) - by;
/** The shape turned by `angle` (radians) and moved to a place. */
export const placed = (shape: Shape, centreX: number, centreY: number, angle = 0): Shape => {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return (x, y) =>
    shape(cos * (x - centreX) + sin * (y - centreY), -sin * (x - centreX) + cos * (y - centreY));
};
