/* The part of LivePerson that one job needs, at the speed of C: what a benchmark's time goes to is
 * then the worker. One thread, one epoll; answers to CONVERSATION wait for the latency asked for.
 *
 *   cc -O2 -o fake_api fake_api.c && ./fake_api      prints "listening on <port>"
 *
 * It answers the Domain API, Sentinel, IDP and CONVERSATION, each well enough for every contestant.
 * It does not enforce one open conversation per consumer, so that a fixed set of consumers serves
 * any number of jobs. `GET /control/latency/<ms>` sets the latency, `GET /control/counts` tells. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 65536, BUFFER = 64 * 1024, ANSWER = 4096, EVENTS = 256 };

struct connection {
  char *in;             /* what has come and is not answered yet */
  size_t length;
  unsigned generation;  /* counts the connections that this descriptor has been */
  char *out;            /* the answer that waits for its time */
  int out_length;
};

struct due {
  double at;
  int fd;
  unsigned generation;
};

static struct connection connections[MAX_FDS];
/* The latency is the same for all, so answers become due in the order in which they were asked. */
static struct due queue[MAX_FDS];
static size_t first, last;
static double latency;  /* seconds */
static int port;
static unsigned long conversations, in_flight, most_in_flight;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void drop(int fd) {
  struct connection *c = &connections[fd];
  if (c->out) in_flight--;
  free(c->in);
  free(c->out);
  *c = (struct connection){.generation = c->generation + 1};
  close(fd);
}

/* Answers fit into a socket's buffer, so a short write means that nobody reads. */
static void send_all(int fd, const char *data, int length) {
  if (send(fd, data, length, MSG_NOSIGNAL) != length) drop(fd);
}

static int render(char *out, int status, const char *format, va_list values) {
  char body[ANSWER];
  int length = vsnprintf(body, sizeof body, format, values);
  return snprintf(out, ANSWER + 512,
                  "HTTP/1.1 %d %s\r\nDate: Mon, 02 Mar 2026 09:00:00 GMT\r\n"
                  "Content-Type: application/json\r\nServer: ws\r\n"
                  "X-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n%s",
                  status, status == 200 ? "OK" : "Unauthorized", length, body);
}

static void answer(int fd, int status, const char *format, ...) {
  char out[ANSWER + 512];
  va_list values;
  va_start(values, format);
  int length = render(out, status, format, values);
  va_end(values);
  send_all(fd, out, length);
}

static void answer_later(int fd, const char *format, ...) {
  struct connection *c = &connections[fd];
  c->out = malloc(ANSWER + 512);
  va_list values;
  va_start(values, format);
  c->out_length = render(c->out, 200, format, values);
  va_end(values);
  if (++in_flight > most_in_flight) most_in_flight = in_flight;
  queue[last++ % MAX_FDS] = (struct due){now() + latency, fd, c->generation};
}

static void base64url(char *out, const char *in) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  size_t length = strlen(in);
  for (size_t i = 0; i < length; i += 3) {
    uint32_t bits = (uint8_t)in[i] << 16;
    if (i + 1 < length) bits |= (uint8_t)in[i + 1] << 8;
    if (i + 2 < length) bits |= (uint8_t)in[i + 2];
    *out++ = alphabet[bits >> 18];
    *out++ = alphabet[bits >> 12 & 63];
    if (i + 1 < length) *out++ = alphabet[bits >> 6 & 63];
    if (i + 2 < length) *out++ = alphabet[bits & 63];
  }
  *out = 0;
}

/* A JWT that nobody verifies, with a signature as long as RS256's. */
static void answer_jwt(int fd, const char *name, const char *claims) {
  char payload[ANSWER], signature[343];
  base64url(payload, claims);
  memset(signature, 's', 342);
  signature[342] = 0;
  answer(fd, 200, "{\"%s\":\"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.%s.%s\",\"token_type\":\"Bearer\"}",
         name, payload, signature);
}

/* Copies the string that is the value of a key, found at or after `from`; returns where it ends. */
static const char *value_of(const char *from, const char *key, char *out, size_t size) {
  char quoted[64];
  snprintf(quoted, sizeof quoted, "\"%s\"", key);
  const char *at = from ? strstr(from, quoted) : NULL;
  *out = 0;
  if (!at) return NULL;
  at += strlen(quoted);
  at += strspn(at, " :\"");
  size_t length = strcspn(at, "\"");
  snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), at);
  return at + length;
}

static void answer_conversation(int fd, const char *headers, const char *body) {
  char profile[128], conversation[128];
  if (!strcasestr(headers, "\r\nauthorization:") || !strcasestr(headers, "\r\nx-lp-on-behalf:")) {
    answer(fd, 401, "{\"errorCode\":40102,\"title\":\"AppJWT is missing\"}");
    return;
  }
  const char *rest = value_of(strstr(body, "\"kind\""), "id", profile, sizeof profile);
  value_of(rest ? strstr(rest, "\"kind\"") : NULL, "id", conversation, sizeof conversation);
  answer_later(fd,
               "[{\"code\":\"OK\",\"body\":{\"msg\":\"OK User Profile set successfully\"},"
               "\"reqId\":\"%s\"},{\"code\":\"OK\",\"body\":{\"conversationId\":"
               "\"00000000-0000-4000-8000-%012lx\"},\"reqId\":\"%s\"}]",
               profile, ++conversations, conversation);
}

static void answer_control(int fd, const char *path) {
  if (!strncmp(path, "latency/", 8)) latency = atof(path + 8) / 1000;
  answer(fd, 200, "{\"conversations\":%lu,\"inFlight\":%lu,\"mostInFlight\":%lu}", conversations,
         in_flight, most_in_flight);
}

static void answer_consumer(int fd, const char *body) {
  char consumer[512], claims[1024];
  value_of(body, "ext_consumer_id", consumer, sizeof consumer);
  snprintf(claims, sizeof claims,
           "{\"account_id\":\"12345678\",\"ext_consumer_id\":\"%s\",\"lp_consumer_id\":"
           "\"29caf0c11486996d9387e3a44ec34229d127304db4966d7752716bceb538fa24\"}",
           consumer);
  answer_jwt(fd, "token", claims);
}

static void answer_app(int fd) {
  char claims[256];
  long at = time(NULL);
  snprintf(claims, sizeof claims,
           "{\"aud\":\"12345678\",\"scope\":\"msg.consumer\",\"iss\":\"Sentinel\",\"exp\":%ld,"
           "\"iat\":%ld}",
           at + 3600, at);
  answer_jwt(fd, "access_token", claims);
}

static void answer_request(int fd, char *head, char *body) {
  char *path = strchr(head, ' ') + 1;
  char *headers = strstr(path, "\r\n");
  char service[64];
  if (!strncmp(path, "/control/", 9))
    answer_control(fd, path + 9);
  else if (sscanf(path, "/api/account/%*[^/]/service/%63[^/]", service) == 1)
    answer(fd, 200, "{\"service\":\"%s\",\"account\":\"12345678\",\"baseURI\":\"127.0.0.1:%d\"}",
           service, port);
  else if (!strncmp(path, "/sentinel/", 10))
    answer_app(fd);
  else if (strstr(path, "/consumer?") && strstr(path, "/consumer?") < headers)
    answer_consumer(fd, body);
  else
    answer_conversation(fd, headers, body);
}

/* Answers every whole request that has come. */
static void take(int fd) {
  struct connection *c = &connections[fd];
  unsigned generation = c->generation;
  while (c->in && !c->out) {
    char *end = memmem(c->in, c->length, "\r\n\r\n", 4);
    if (!end) return;
    char *stated = strcasestr(c->in, "\r\ncontent-length:");
    size_t body = stated && stated < end ? strtoul(stated + 17, NULL, 10) : 0;
    size_t whole = end + 4 - c->in + body;
    if (c->length < whole) return;
    char behind = c->in[whole];
    c->in[whole] = 0;
    *(end + 2) = 0;
    answer_request(fd, c->in, end + 4);
    if (c->generation != generation) return;
    c->in[whole] = behind;
    memmove(c->in, c->in + whole, c->length - whole + 1);
    c->length -= whole;
  }
}

static void on_readable(int fd) {
  struct connection *c = &connections[fd];
  if (!c->in) c->in = calloc(1, BUFFER + 1);
  ssize_t count = recv(fd, c->in + c->length, BUFFER - c->length, 0);
  if (count <= 0) {
    if (count < 0 && errno == EAGAIN) return;
    drop(fd);
    return;
  }
  c->length += count;
  c->in[c->length] = 0;
  take(fd);
}

static void send_due(void) {
  double at = now();
  while (first != last && queue[first % MAX_FDS].at <= at) {
    struct due due = queue[first++ % MAX_FDS];
    struct connection *c = &connections[due.fd];
    if (c->generation != due.generation || !c->out) continue;
    char *out = c->out;
    c->out = NULL;
    in_flight--;
    send_all(due.fd, out, c->out_length);
    free(out);
    take(due.fd);
  }
}

static int milliseconds_to_wait(void) {
  if (first == last) return -1;
  double left = queue[first % MAX_FDS].at - now();
  return left <= 0 ? 0 : (int)(left * 1000) + 1;
}

int main(void) {
  struct rlimit files = {MAX_FDS, MAX_FDS};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max < MAX_FDS ? files.rlim_max : MAX_FDS;
  setrlimit(RLIMIT_NOFILE, &files);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (void *)&address, size) || listen(listener, 4096)) return 1;
  getsockname(listener, (void *)&address, &size);
  port = ntohs(address.sin_port);
  printf("listening on %d\n", port);
  fflush(stdout);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(poll, events, EVENTS, milliseconds_to_wait());
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != listener) {
        on_readable(events[i].data.fd);
        continue;
      }
      int fd;
      while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
        if (fd >= MAX_FDS || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) close(fd);
      }
    }
    send_due();
  }
}
