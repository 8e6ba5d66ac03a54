// `npm run client:build`: the package in client/ as ESM, CommonJS and types. tsdown, because it is the one well-kept bundler that makes
// declarations with TypeScript 7 and bundles them too. 0.22, because of what
// 0.23 writes declarations with (@yuku-toolchain) npm had the package for Linux on x64 alone when it was chosen, and none for a Mac.
import { defineConfig } from "tsdown";

const here = import.meta.dirname;
const BUNDLED = ["zod", "fastest-levenshtein"];
const licenceOf = (name: string) => `../node_modules/${name}/LICENSE${name === "zod" ? "" : ".md"}`;

export default defineConfig({
  cwd: here,
  entry: ["client.ts"],
  format: ["esm", "cjs"],
  dts: true,
  platform: "node",
  target: "node22",
  // Its own, so that only what the client reaches is compiled; beside the folders that it imports, as the declarations need it.
  tsconfig: "../tsconfig.client.json",
  fixedExtension: false,
  logLevel: "error",
  deps: {
    // Bundled, so that nothing but the AWS SDK has to be installed.
    alwaysBundle: BUNDLED,
    onlyBundle: BUNDLED,
  },
  // Their licences ask to be handed on.
  copy: ({ outDir: to }) => [
    ...BUNDLED.map((name) => ({ from: licenceOf(name), to, rename: `LICENSE-${name}` })),
    { from: "../LICENSE", to },
  ],
});
