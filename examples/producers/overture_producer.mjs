// Enqueue jobs for Overture from Node, over AMQP. Copy this file and overture_job.d.ts, which says
// what a job is made of; the client is amqplib (npm install amqplib).
//
//     OVERTURE_BROKER_URL=amqp://guest:guest@localhost/%2F node overture_producer.mjs
//
// A call is over once RabbitMQ has stored what it was given, and throws otherwise. Enqueuing a job a
// second time is harmless: the same jobId with the same content is one conversation. So repeat what
// failed, with the same jobId. (On Redis and Valkey a producer pushes the bare job:
// LPUSH conversations.jobs '{"jobId": …}'.)

import { createHash, randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";
import amqp from "amqplib";

/** @typedef {import("./overture_job.d.ts").Job} Job */

export const JOBS_QUEUE = "conversations.jobs"; // conversations.jobs.<accountId> for one of its own
const BATCH = 1000; // jobs that are on their way to the broker at a time

/**
 * Make the jobId of a business event: the same parts always give the same id.
 *
 * Name all that makes the conversation one of its own, as in jobId("welcome", orderId). An id that is
 * made up anew for every try would open a conversation for every try.
 *
 * @param {...string} parts
 */
export function jobId(...parts) {
  // Each part is written with its length, so that no two lists of parts read alike.
  const octets = parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join("");
  return createHash("sha256").update(octets).digest("hex");
}

/** The broker did not say that it has these jobs; it may have some. Enqueue them again. */
export class NotEnqueued extends Error {
  /** @param {string} reason @param {Job[]} jobs */
  constructor(reason, jobs) {
    super(`${reason} (${jobs.length} jobs; the first is ${jobs[0].jobId})`);
    this.jobIds = jobs.map((job) => job.jobId);
  }
}

/** Enqueues on one connection, which it opens again where it was lost. */
export class Producer {
  /** @param {string} url @param {string} queue */
  constructor(url, queue = JOBS_QUEUE) {
    this.url = url;
    this.queue = queue;
    this.opened = undefined;
  }

  /** @param {Job} job */
  async enqueue(job) {
    await this.enqueueMany([job]);
  }

  /** Enqueue jobs; they are confirmed many at a time. @param {Job[]} jobs */
  async enqueueMany(jobs) {
    for (let at = 0; at < jobs.length; at += BATCH) {
      const left = await this.publish(jobs.slice(at, at + BATCH));
      if (left.jobs.length) {
        throw new NotEnqueued(left.reason, [...left.jobs, ...jobs.slice(at + BATCH)]);
      }
    }
  }

  /** Publish jobs; gives those that the broker has not confirmed, or has returned. */
  async publish(jobs) {
    let reason = "";
    let channel;
    try {
      channel = await this.channel();
    } catch (error) {
      return { jobs, reason: error.message };
    }
    const returned = new Set();
    const note = (message) => {
      returned.add(message.properties.messageId);
      reason = `there is no queue ${message.fields.routingKey} (${message.fields.replyText})`;
    };
    channel.on("return", note);
    const outcomes = await Promise.all(
      jobs.map(
        (job) =>
          new Promise((resolve) => {
            const options = {
              contentType: "application/json",
              persistent: true,
              mandatory: true, // a missing queue is an error, not a lost job
              priority: job.priority ?? 0,
              messageId: job.jobId,
              headers: { "enqueued-at": new Date().toISOString() },
            };
            const body = Buffer.from(JSON.stringify(job));
            const done = (error) => {
              reason ||= error ? error.message || "the broker refused it" : "";
              resolve(!error);
            };
            try {
              channel.publish("", this.queue, body, options, done);
            } catch (error) {
              done(error);
            }
          }),
      ),
    );
    channel.off("return", note);
    return { jobs: jobs.filter((job, at) => !outcomes[at] || returned.has(job.jobId)), reason };
  }

  async channel() {
    this.opened ??= amqp.connect(this.url).then(async (connection) => {
      const forget = () => (this.opened = undefined);
      connection.on("error", forget);
      connection.on("close", forget);
      const channel = await connection.createConfirmChannel();
      channel.on("error", forget);
      channel.on("close", forget);
      return { connection, channel };
    });
    try {
      return (await this.opened).channel;
    } catch (error) {
      this.opened = undefined;
      throw error;
    }
  }

  async close() {
    const opened = await this.opened;
    await opened?.connection.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const order = randomUUID();
  /** @type {Job} */
  const job = {
    jobId: jobId("on-its-way", order), // the same order again means the same conversation
    consumerId: randomUUID(), // always the same for one person, and not guessable
    priority: 5,
    conversation: { skillId: "4711" },
    metadata: { firstMessage: "Your order is on its way." },
  };
  const producer = new Producer(process.env.OVERTURE_BROKER_URL);
  await producer.enqueue(job);
  await producer.close();
  console.log(job.jobId);
}
