// `kamado/testing`: what the test of a handler needs, for handlers of Kamado and of others alike. It knows no test runner.
export { readPicture, samplePicture } from "./pictures.ts";
export { type Asked, type Ran, runHandler, type Script } from "./run-handler.ts";
