// Enqueue jobs for Overture from Java, over AMQP. Copy this file and OvertureJob.java. They need
// RabbitMQ's Java client (com.rabbitmq:amqp-client) and Gson (com.google.code.gson:gson).
//
//     OVERTURE_BROKER_URL=amqp://guest:guest@localhost/%2F java -cp … OvertureProducer

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeoutException;

/**
 * Enqueues on one connection. A call returns once RabbitMQ has stored what it was given, and throws
 * otherwise. Enqueuing a job a second time is harmless: the same jobId with the same content is one
 * conversation. So repeat what failed, with the same jobId, on a new producer.
 */
public final class OvertureProducer implements AutoCloseable {
  /** conversations.jobs.&lt;accountId&gt; for an account of its own. */
  public static final String JOBS_QUEUE = "conversations.jobs";

  private static final int BATCH = 1000; // jobs that are on their way to the broker at a time
  private static final long TIMEOUT_MS = 30_000;
  private static final Gson JSON = new GsonBuilder().disableHtmlEscaping().create();

  private final Connection connection;
  private final Channel channel;
  private final String queue;
  private final Set<String> returned = ConcurrentHashMap.newKeySet();

  /** The broker did not say that it has these jobs; it may have some. Enqueue them again. */
  public static final class NotEnqueued extends Exception {
    public final List<String> jobIds;

    NotEnqueued(String reason, List<OvertureJob> jobs, Throwable cause) {
      super(reason + " (" + jobs.size() + " jobs; the first is " + jobs.get(0).jobId + ")", cause);
      this.jobIds = jobs.stream().map(job -> job.jobId).toList();
    }
  }

  public OvertureProducer(String url, String queue) throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(url);
    factory.setAutomaticRecoveryEnabled(false);
    this.queue = queue;
    this.connection = factory.newConnection("overture-producer");
    this.channel = connection.createChannel();
    channel.confirmSelect();
    channel.addReturnListener(
        (code, text, exchange, key, about, body) -> returned.add(about.getMessageId()));
  }

  /**
   * Makes the jobId of a business event: the same parts always give the same id. Name all that makes
   * the conversation one of its own. An id that is made up anew for every try would open a
   * conversation for every try.
   */
  public static String jobId(String... parts) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (String part : parts) {
        // Each part is written with its length, so that no two lists of parts read alike.
        byte[] octets = part.getBytes(StandardCharsets.UTF_8);
        digest.update((octets.length + ":").getBytes(StandardCharsets.UTF_8));
        digest.update(octets);
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error); // every Java has it
    }
  }

  public void enqueue(OvertureJob job) throws NotEnqueued, InterruptedException {
    enqueueMany(List.of(job));
  }

  /** Enqueues jobs; they are confirmed many at a time. */
  public synchronized void enqueueMany(List<OvertureJob> jobs)
      throws NotEnqueued, InterruptedException {
    for (int at = 0; at < jobs.size(); at += BATCH) {
      List<OvertureJob> batch = jobs.subList(at, Math.min(at + BATCH, jobs.size()));
      List<OvertureJob> rest = jobs.subList(at, jobs.size());
      returned.clear();
      try {
        for (OvertureJob job : batch) {
          byte[] body = JSON.toJson(job).getBytes(StandardCharsets.UTF_8);
          channel.basicPublish("", queue, true, about(job), body); // true: mandatory
        }
        if (!channel.waitForConfirms(TIMEOUT_MS)) {
          throw new NotEnqueued("the broker refused some of these", rest, null);
        }
      } catch (IOException | TimeoutException | ShutdownSignalException error) {
        throw new NotEnqueued("no confirm: " + error, rest, error);
      }
      if (!returned.isEmpty()) {
        List<OvertureJob> left = new ArrayList<>(batch);
        left.removeIf(job -> !returned.contains(job.jobId));
        left.addAll(jobs.subList(at + batch.size(), jobs.size()));
        throw new NotEnqueued("there is no queue " + queue, left, null);
      }
    }
  }

  private static BasicProperties about(OvertureJob job) {
    String now = Instant.now().truncatedTo(ChronoUnit.MILLIS).toString();
    return new BasicProperties.Builder()
        .contentType("application/json")
        .deliveryMode(2) // persistent
        .priority(job.priority == null ? 0 : job.priority.intValue())
        .messageId(job.jobId)
        .headers(new TreeMap<>(Map.of("enqueued-at", now)))
        .build();
  }

  @Override
  public void close() throws IOException {
    connection.close();
  }

  public static void main(String[] arguments) throws Exception {
    String order = UUID.randomUUID().toString();
    OvertureJob job = new OvertureJob();
    job.jobId = jobId("on-its-way", order); // the same order again means the same conversation
    job.consumerId = UUID.randomUUID().toString(); // always the same for one person
    job.priority = 5L;
    job.conversation = new OvertureJob.Conversation();
    job.conversation.skillId = "4711";
    job.metadata = Map.of("firstMessage", "Your order is on its way.");
    try (OvertureProducer producer =
        new OvertureProducer(System.getenv("OVERTURE_BROKER_URL"), JOBS_QUEUE)) {
      producer.enqueue(job);
    }
    System.out.println(job.jobId);
  }
}
