// The fake topic keeps the same promises as the real ones.
import { runSuite } from "../conformance/suite.ts";
import { type TopicHarness, topicCases } from "../conformance/topic.cases.ts";
import { FakeTopic } from "../fakes/topic.ts";

function fakeHarness(): TopicHarness {
  const topic = new FakeTopic();
  return {
    topic,
    async create({ fifo = false } = {}) {
      const arn = `arn:aws:sns:us-east-1:000000000000:test${fifo ? ".fifo" : ""}`;
      topic.create(arn);
      return arn;
    },
    async subscribe(arn, filter) {
      const inbox = topic.subscribe(arn, filter);
      return { take: async () => inbox.splice(0) };
    },
  };
}

runSuite("the fake topic", topicCases, fakeHarness, {});
