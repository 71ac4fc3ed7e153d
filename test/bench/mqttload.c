// mqttload: a single-threaded MQTT load generator for Linux (epoll, no dependencies).
// It only ever talks to 127.0.0.1. Every run is bounded in count and in time, and prints one JSON line.
// Usage and the meaning of each field: README.md beside this file.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK,
       PINGREQ, PINGRESP, DISCONNECT };
enum { NEW, TCP, WAIT_CONNACK, WAIT_SUBACK, READY, DEAD };

typedef struct { uint8_t *p; size_t off, len, cap; } Buf;
typedef struct Conn {
  int fd, state, idx, sub_qos;
  bool want_out, dirty, clean, session_present;
  char id[48], filter[96], topic[96];
  Buf rx, tx;
  uint32_t seq;                       // next sequence number to publish
  int win, free_head, free_n;         // packet ids: a ring of the free ones, and a state for each
  uint16_t *free_ids;
  uint8_t *id_state;                  // 0 free, 1 awaits PUBACK or PUBREC, 2 awaits PUBCOMP
  uint64_t last_tx;
} Conn;

static struct {
  const char *scenario, *prefix, *between;
  int port, qos, pubs, subs, n, window, payload, v5, pid, keep, lookups, durable;
  long count, outstanding;
  double secs, warm, rate, hold, settle;
} o = { .port = 1883, .pubs = 1, .subs = 1, .n = 1000, .window = 100, .payload = 64, .secs = 5, .warm = 1, .hold = 5,
        .settle = 1, .lookups = 50 };

static int ep;
static Conn *dirty_list[65536];
static int n_dirty, n_ready, n_pending, n_dead;
static long sent, acked, refused, proto_err, expected, received, dups, out_of_order, written_off;
static bool measuring, stop_publishing;
static uint64_t now_ns, last_progress;

static uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void die(const char *what) {
  printf("{\"scenario\":\"%s\",\"error\":\"%s\"}\n", o.scenario ? o.scenario : "", what);
  exit(1);
}

// ---- latency histogram: 64 linear sub-buckets for each power of two, so at most 1.6 % error ----
typedef struct { long n, b[64 * 64]; uint64_t max; } Hist;
static Hist lat;
static void hist_add(Hist *h, uint64_t v) {
  if (v > h->max) h->max = v;
  int e = v < 128 ? 0 : 57 - __builtin_clzll(v);  // v >> e lies in 64..127, or below where e is 0
  h->b[e * 64 + (int)(v >> e)]++;                 // e at most 57: index at most 57 * 64 + 127
  h->n++;
}
static double hist_us(const Hist *h, double q) {
  long want = (long)(q * (double)h->n), seen = 0;
  for (int i = 0; i < 64 * 64; i++)
    if ((seen += h->b[i]) > want) {
      int e = i < 128 ? 0 : i / 64 - 1;
      return (double)((uint64_t)(i - e * 64) << e) / 1000.0;
    }
  return (double)h->max / 1000.0;
}

// ---- buffers and packet writing ----
static uint8_t *buf_room(Buf *b, size_t n) {
  if (b->off && b->off == b->len) b->off = b->len = 0;
  if (b->len + n > b->cap) {
    if (b->off) {
      memmove(b->p, b->p + b->off, b->len - b->off);
      b->len -= b->off;
      b->off = 0;
    }
    if (b->len + n > b->cap) {
      b->cap = (b->len + n) * 2;
      if (!(b->p = realloc(b->p, b->cap))) die("out of memory");
    }
  }
  return b->p + b->len;
}
static void put(Buf *b, const void *d, size_t n) {
  memcpy(buf_room(b, n), d, n);
  b->len += n;
}
static void put8(Buf *b, unsigned v) { uint8_t x = (uint8_t)v; put(b, &x, 1); }
static void put16(Buf *b, unsigned v) { uint8_t x[2] = { (uint8_t)(v >> 8), (uint8_t)v }; put(b, x, 2); }
static void put_str(Buf *b, const char *s) { size_t n = strlen(s); put16(b, (unsigned)n); put(b, s, n); }
static void put_var(Buf *b, size_t v) {
  do {
    put8(b, (unsigned)(v & 127) | (v > 127 ? 128 : 0));
    v >>= 7;
  } while (v);
}
static void touch(Conn *c) {
  c->last_tx = now_ns;
  if (!c->dirty) {
    c->dirty = true;
    dirty_list[n_dirty++] = c;
  }
}
static void send_connect(Conn *c) {
  bool expiry = o.v5 && !c->clean;
  put8(&c->tx, CONNECT << 4);
  put_var(&c->tx, 10 + (o.v5 ? 1u + (expiry ? 5u : 0u) : 0u) + 2 + strlen(c->id));
  put_str(&c->tx, "MQTT");
  put8(&c->tx, o.v5 ? 5 : 4);
  put8(&c->tx, c->clean ? 2 : 0);
  put16(&c->tx, 60);
  if (o.v5) put8(&c->tx, expiry ? 5 : 0);
  if (expiry) put(&c->tx, "\x11\0\0\x0e\x10", 5);  // Session Expiry Interval: 3600 s
  put_str(&c->tx, c->id);
  touch(c);
}
static void send_subscribe(Conn *c, const char *filter, int qos) {
  put8(&c->tx, SUBSCRIBE << 4 | 2);
  put_var(&c->tx, 2 + (o.v5 ? 1u : 0u) + 2 + strlen(filter) + 1);
  put16(&c->tx, 1);
  if (o.v5) put8(&c->tx, 0);
  put_str(&c->tx, filter);
  put8(&c->tx, (unsigned)qos);
  touch(c);
}
static void send_ack(Conn *c, int type, unsigned id) {
  uint8_t x[4] = { (uint8_t)(type << 4 | (type == PUBREL ? 2 : 0)), 2, (uint8_t)(id >> 8), (uint8_t)id };
  put(&c->tx, x, 4);
  touch(c);
}
static bool can_publish(const Conn *c, int qos) {
  return c->state == READY && c->tx.len - c->tx.off < 65536 && (qos == 0 || c->free_n > 0);
}
static void send_publish(Conn *c, const char *topic, int qos, bool retain, uint32_t seq, uint64_t stamp, int payload) {
  static uint8_t pad[1 << 20];
  put8(&c->tx, (unsigned)(PUBLISH << 4 | qos << 1 | retain));
  put_var(&c->tx, 2 + strlen(topic) + (qos ? 2 : 0) + (o.v5 ? 1 : 0) + (size_t)payload);
  put_str(&c->tx, topic);
  if (qos) {
    unsigned id = c->free_ids[c->free_head];
    c->free_head = (c->free_head + 1) % o.window;
    c->free_n--;
    c->id_state[id] = 1;
    put16(&c->tx, id);
  }
  if (o.v5) put8(&c->tx, 0);
  if (payload) {
    uint32_t who[2] = { (uint32_t)c->idx, seq };
    put(&c->tx, &stamp, 8);
    put(&c->tx, who, 8);
    put(&c->tx, pad, (size_t)payload - 16);
  }
  touch(c);
}

// ---- connections ----
static Conn *conns;
static void conn_init(Conn *c, int idx, const char *kind) {
  memset(c, 0, sizeof *c);
  c->fd = -1;
  c->idx = idx;
  c->clean = !o.durable;
  snprintf(c->id, sizeof c->id, "%s-%s%d", o.prefix, kind, idx);
}
static void conn_publisher(Conn *c) {
  c->win = o.window;
  c->free_ids = calloc((size_t)o.window, 2);
  c->id_state = calloc((size_t)o.window + 1, 1);
  for (int i = 0; i < o.window; i++) c->free_ids[i] = (uint16_t)(i + 1);
  c->free_n = o.window;
}
static void conn_open(Conn *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)o.port),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  if (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS) die("connect");
  c->state = TCP;
  c->want_out = true;
  c->tx.len = c->tx.off = c->rx.len = c->rx.off = 0;
  n_pending++;
  struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
  if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl");
}
static void conn_lost(Conn *c) {
  if (c->state == DEAD) return;
  if (c->state == READY) n_ready--; else n_pending--;
  c->state = DEAD;
  n_dead++;
  close(c->fd);
  c->fd = -1;
}
static void conn_ready(Conn *c) {
  c->state = READY;
  n_ready++;
  n_pending--;
  last_progress = now_ns;
}
static void flush(Conn *c) {
  while (c->tx.off < c->tx.len) {
    ssize_t n = send(c->fd, c->tx.p + c->tx.off, c->tx.len - c->tx.off, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) { conn_lost(c); return; }
    if (n < 0) break;
    c->tx.off += (size_t)n;
  }
  bool want = c->tx.off < c->tx.len;
  if (want != c->want_out) {
    c->want_out = want;
    struct epoll_event e = { .events = EPOLLIN | (want ? EPOLLOUT : 0), .data.ptr = c };
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
  }
}
static void flush_dirty(void) {
  for (int i = 0; i < n_dirty; i++) {
    Conn *c = dirty_list[i];
    c->dirty = false;
    if (c->state != DEAD && c->state != TCP) flush(c);
  }
  n_dirty = 0;
}
// Sends DISCONNECT, closes the socket, and leaves the Conn ready for another conn_open.
static void conn_close(Conn *c) {
  if (c->state == DEAD || c->fd < 0) return;
  put8(&c->tx, DISCONNECT << 4);
  put8(&c->tx, 0);
  flush(c);
  if (c->state == DEAD) return;
  n_ready--;
  close(c->fd);
  c->fd = -1;
  c->state = NEW;
}

// ---- what to do with a received message: each scenario sets it ----
static void (*on_message)(Conn *c, const uint8_t *payload, size_t len);

static void free_id(Conn *c, unsigned id) {
  c->id_state[id] = 0;
  c->free_ids[(c->free_head + c->free_n++) % o.window] = (uint16_t)id;
  acked++;
  last_progress = now_ns;
}
// MQTT 5: the length of one property's value, or 0 if the id is unknown.
static size_t prop_len(const uint8_t *p, size_t left) {
  switch (p[0]) {
    case 0x01: case 0x17: case 0x19: case 0x24: case 0x25: case 0x28: case 0x29: case 0x2a: return 1;
    case 0x13: case 0x21: case 0x22: case 0x23: return 2;
    case 0x02: case 0x11: case 0x18: case 0x27: return 4;
    case 0x26: if (left > 4) { size_t k = 2 + (size_t)(p[1] << 8 | p[2]); return left > k + 2 ? k + 2 + (size_t)(p[k + 1] << 8 | p[k + 2]) : 0; } return 0;
    default: return left > 2 ? 2 + (size_t)(p[1] << 8 | p[2]) : 0;
  }
}
// MQTT 5: honours the broker's Receive Maximum by shrinking the publisher's window.
static void read_connack_props(Conn *c, const uint8_t *p, size_t len) {
  for (size_t i = 0; i < len;) {
    size_t n = prop_len(p + i, len - i);
    if (!n || i + 1 + n > len) return;
    if (p[i] == 0x21 && c->win) {
      int max = p[i + 1] << 8 | p[i + 2];
      if (max < c->free_n) c->free_n = max;
    }
    i += 1 + n;
  }
}
static void on_packet(Conn *c, int type, int flags, const uint8_t *p, size_t len) {
  unsigned id = len >= 2 ? (unsigned)(p[0] << 8 | p[1]) : 0;
  switch (type) {
    case CONNACK:
      if (len < 2 || p[1]) { fprintf(stderr, "CONNACK refused: %u\n", len < 2 ? 999u : p[1]); refused++; conn_lost(c); return; }
      c->session_present = p[0] & 1;
      if (o.v5 && len > 3 && p[2] < 128) read_connack_props(c, p + 3, len - 3);
      if (c->filter[0]) {
        c->state = WAIT_SUBACK;
        send_subscribe(c, c->filter, c->sub_qos);
      } else conn_ready(c);
      break;
    case SUBACK:
      if (len < 3 || p[len - 1] > 2) refused++;
      if (c->state == WAIT_SUBACK) conn_ready(c);
      break;
    case PUBLISH: {
      int qos = flags >> 1 & 3;
      if (len < 2 || 2 + id > len) { proto_err++; return; }
      size_t at = 2 + id;
      if (qos) {
        unsigned mid = (unsigned)(p[at] << 8 | p[at + 1]);
        at += 2;
        send_ack(c, qos == 1 ? PUBACK : PUBREC, mid);
      }
      if (o.v5) {
        size_t n = 0;
        for (int s = 0;; s += 7) { n |= (size_t)(p[at] & 127) << s; if (!(p[at++] & 128)) break; }
        at += n;
      }
      if (at > len) { proto_err++; return; }
      on_message(c, p + at, len - at);
      break;
    }
    case PUBACK: case PUBREC: case PUBCOMP:
      if (!c->win || id == 0 || id > (unsigned)c->win || c->id_state[id] != (type == PUBCOMP ? 2 : 1)) { proto_err++; return; }
      if (type == PUBREC && !(len > 2 && p[2] >= 128)) {
        c->id_state[id] = 2;
        send_ack(c, PUBREL, id);
      } else {
        if (len > 2 && p[2] >= 128) refused++;
        free_id(c, id);
      }
      break;
    case PUBREL: send_ack(c, PUBCOMP, id); break;
    case PINGRESP: case UNSUBACK: break;
    default: if (o.v5 && type == DISCONNECT) fprintf(stderr, "DISCONNECT %u\n", len ? p[0] : 0); else proto_err++;
  }
}
static void on_readable(Conn *c) {
  for (;;) {
    uint8_t *to = buf_room(&c->rx, 65536);
    ssize_t n = recv(c->fd, to, 65536, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { conn_lost(c); return; }
    c->rx.len += (size_t)n;
    for (;;) {
      const uint8_t *p = c->rx.p + c->rx.off;
      size_t have = c->rx.len - c->rx.off, len = 0, h = 1;
      bool whole = false;
      for (int s = 0; h < have && s < 28; s += 7) {
        len |= (size_t)(p[h] & 127) << s;
        if (!(p[h++] & 128)) { whole = true; break; }
      }
      if (!whole || h + len > have) break;
      on_packet(c, p[0] >> 4, p[0] & 15, p + h, len);
      if (c->state == DEAD) return;
      c->rx.off += h + len;
    }
    if (n < 65536) return;
  }
}

// ---- the loop: runs until cond() holds or the time is up; pump() publishes what may be published ----
static void (*pump)(void);
static uint64_t next_due;  // rate mode: when the next publish is due (0: not in rate mode)
static bool run_until(bool (*cond)(void), double timeout_s) {
  uint64_t end = clock_ns() + (uint64_t)(timeout_s * 1e9);
  struct epoll_event ev[256];
  for (;;) {
    now_ns = clock_ns();
    if (pump) pump();
    flush_dirty();
    if (cond()) return true;
    if (now_ns >= end) return false;
    uint64_t wait = end - now_ns < 10000000 ? end - now_ns : 10000000;
    if (next_due) wait = next_due <= now_ns ? 0 : next_due - now_ns < wait ? next_due - now_ns : wait;
    struct timespec ts = { 0, (long)wait };
    int n = epoll_pwait2(ep, ev, 256, &ts, NULL);
    now_ns = clock_ns();
    for (int i = 0; i < n; i++) {
      Conn *c = ev[i].data.ptr;
      if (c->fd < 0 || c->state == DEAD) continue;
      if (c->state == TCP && ev[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        int err = 0;
        socklen_t l = sizeof err;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &l);
        if (err) { conn_lost(c); continue; }
        c->state = WAIT_CONNACK;
        send_connect(c);
        continue;
      }
      if (ev[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) on_readable(c);
      if (c->state != DEAD && ev[i].events & EPOLLOUT) touch(c);
    }
  }
}
static bool never(void) { return false; }
static void rest(double s) { if (s > 0) run_until(never, s); }

// Opens conns[from..to) with at most 100 handshakes at once, and waits until all are ready.
static int open_next, open_end;
static void pump_open(void) { while (open_next < open_end && n_pending < 100) conn_open(&conns[open_next++]); }
static bool all_open(void) { return open_next == open_end && n_pending == 0; }
static void open_range(int from, int to) {
  int dead = n_dead;
  long no = refused;
  open_next = from;
  open_end = to;
  pump = pump_open;
  bool ok = run_until(all_open, 60);
  pump = NULL;
  if (!ok || n_dead != dead || refused != no) die("a connection or subscription was refused or timed out");
}

// ---- the broker's and our own cpu time and memory ----
static double broker_cpu(void) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", o.pid);
  FILE *f = o.pid ? fopen(path, "r") : NULL;
  if (!f) return 0;
  unsigned long u = 0, s = 0;
  char *end = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
  if (end) sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u, &s);
  fclose(f);
  return (double)(u + s) / (double)sysconf(_SC_CLK_TCK);
}
static long broker_rss_kb(void) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", o.pid);
  FILE *f = o.pid ? fopen(path, "r") : NULL;
  long kb = 0;
  while (f && fgets(line, sizeof line, f)) if (sscanf(line, "VmRSS: %ld", &kb) == 1) break;
  if (f) fclose(f);
  return kb;
}
static double own_cpu(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

// ---- fanin, fanout, p2p ----
static Conn *pubs, *subs;
typedef struct { uint32_t next; uint64_t bits[64]; } Stream;  // which of the last 4096 sequence numbers have come
static Stream *streams;
static bool by_sub;  // fanout: a stream for each subscriber; else one for each publisher
static int fan = 1, turn;
static uint64_t t0;
static long scheduled, win_in, win_out;
static long win_count(void) { return o.qos ? acked : sent; }

static void stream_message(Conn *c, const uint8_t *p, size_t len) {
  if (len < 16) { proto_err++; return; }
  uint64_t stamp;
  uint32_t who[2];
  memcpy(&stamp, p, 8);
  memcpy(who, p + 8, 8);
  Stream *s = &streams[by_sub ? (uint32_t)c->idx : who[0]];
  last_progress = now_ns;
  uint64_t *word = &s->bits[who[1] >> 6 & 63], bit = 1ull << (who[1] & 63);
  if (who[1] < s->next) {
    if (s->next - who[1] > 4096 || *word & bit) { dups++; return; }
    out_of_order++;
  }
  for (; s->next <= who[1]; s->next++) s->bits[s->next >> 6 & 63] &= ~(1ull << (s->next & 63));
  *word |= bit;
  received++;
  if (measuring) { win_out++; hist_add(&lat, now_ns - stamp); }
}
static void pump_streams(void) {
  if (stop_publishing) return;
  long cap = o.rate > 0 ? 200000 : o.outstanding;
  long due = o.rate > 0 ? (long)((double)(now_ns - t0) / 1e9 * o.rate) : 0;
  // Deliveries that a broker has dropped never come: write them off after 1 s without progress, so as not to hang.
  if (expected - received - written_off >= cap && now_ns - last_progress > 1000000000u) {
    written_off = expected - received;
    last_progress = now_ns;
  }
  for (int idle = 0; idle < o.pubs && !stop_publishing;) {
    if (expected - received - written_off >= cap || (o.rate > 0 && scheduled >= due)) break;
    Conn *c = &pubs[turn];
    turn = (turn + 1) % o.pubs;
    if (!can_publish(c, o.qos)) { idle++; continue; }
    idle = 0;
    // rate mode: stamped with the time it was due, so waiting in the generator counts as latency too
    uint64_t stamp = o.rate > 0 ? t0 + (uint64_t)((double)scheduled / o.rate * 1e9) : now_ns;
    send_publish(c, c->topic, o.qos, false, c->seq++, stamp, o.payload);
    scheduled++;
    sent++;
    expected += fan;
    if (o.count && sent >= o.count) stop_publishing = true;
  }
  if (o.rate > 0) next_due = t0 + (uint64_t)((double)(scheduled + 1) / o.rate * 1e9);
}
static bool streams_stopped(void) { return stop_publishing || n_dead; }
static bool streams_done(void) {
  return (received >= expected && (!o.qos || acked >= sent)) || now_ns - last_progress > 3000000000u || n_dead;
}
static void run_streams(void) {
  by_sub = !strcmp(o.scenario, "fanout");
  if (by_sub) { o.pubs = 1; fan = o.subs; }
  if (!strcmp(o.scenario, "p2p")) o.pubs = o.subs = o.n;
  if (o.subs > o.pubs && !by_sub) o.subs = o.pubs;
  if (!o.outstanding) o.outstanding = fan * 10 > 1000 ? fan * 10 : 1000;
  conns = calloc((size_t)(o.pubs + o.subs), sizeof *conns);
  subs = conns;
  pubs = conns + o.subs;
  streams = calloc((size_t)(o.pubs > o.subs ? o.pubs : o.subs), sizeof *streams);
  on_message = stream_message;
  for (int i = 0; i < o.subs; i++) {
    conn_init(&subs[i], i, "s");
    subs[i].sub_qos = o.qos;
    if (by_sub) snprintf(subs[i].filter, sizeof subs[i].filter, "%s/out", o.prefix);
    else if (o.pubs == o.subs) snprintf(subs[i].filter, sizeof subs[i].filter, "%s/p/%d", o.prefix, i);
    else snprintf(subs[i].filter, sizeof subs[i].filter, "%s/in/%d/+", o.prefix, i);
  }
  for (int i = 0; i < o.pubs; i++) {
    conn_init(&pubs[i], i, "p");
    conn_publisher(&pubs[i]);
    if (by_sub) snprintf(pubs[i].topic, sizeof pubs[i].topic, "%s/out", o.prefix);
    else if (o.pubs == o.subs) snprintf(pubs[i].topic, sizeof pubs[i].topic, "%s/p/%d", o.prefix, i);
    else snprintf(pubs[i].topic, sizeof pubs[i].topic, "%s/in/%d/%d", o.prefix, i % o.subs, i);
  }
  open_range(0, o.subs + o.pubs);
  rest(0.2);  // some brokers put a subscription in force only after the SUBACK
  t0 = last_progress = now_ns = clock_ns();
  if (o.rate > 0) next_due = t0;
  pump = pump_streams;
  run_until(streams_stopped, o.warm);
  measuring = true;
  double cpu0 = broker_cpu(), own0 = own_cpu();
  long in0 = win_count();
  uint64_t m0 = clock_ns();
  run_until(streams_stopped, o.secs);
  double secs = (double)(clock_ns() - m0) / 1e9, cpu = broker_cpu() - cpu0, own = own_cpu() - own0;
  win_in = win_count() - in0;
  long out = win_out;
  stop_publishing = true;
  next_due = 0;
  last_progress = clock_ns();
  run_until(streams_done, 20);
  printf("{\"scenario\":\"%s\",\"qos\":%d,\"v\":%d,\"pubs\":%d,\"subs\":%d,\"payload\":%d,\"rate\":%.0f,\"secs\":%.3f,"
         "\"in_per_s\":%.0f,\"out_per_s\":%.0f,\"sent\":%ld,\"expected\":%ld,\"delivered\":%ld,\"lost\":%ld,\"dup\":%ld,\"out_of_order\":%ld,"
         "\"unacked\":%ld,\"p50_us\":%.0f,\"p95_us\":%.0f,\"p99_us\":%.0f,\"max_us\":%.0f,"
         "\"disconnects\":%d,\"refused\":%ld,\"proto_err\":%ld,\"gen_cpu\":%.2f,\"broker_cpu\":%.2f,\"broker_us_per_msg\":%.2f,\"broker_rss_kb\":%ld}\n",
         o.scenario, o.qos, o.v5 ? 5 : 4, o.pubs, o.subs, o.payload, o.rate, secs, (double)win_in / secs, (double)out / secs, sent,
         expected, received, expected - received, dups, out_of_order, o.qos ? sent - acked : 0, hist_us(&lat, .5),
         hist_us(&lat, .95), hist_us(&lat, .99), (double)lat.max / 1e3, n_dead, refused, proto_err, own / secs, cpu / secs,
         out ? cpu * 1e6 / (double)out : 0, broker_rss_kb());
}

// ---- idle ----
static void pump_ping(void) {
  for (int i = 0; i < o.n; i++)
    if (conns[i].state == READY && now_ns - conns[i].last_tx > 25000000000u) {
      put(&conns[i].tx, "\xc0\0", 2);
      touch(&conns[i]);
    }
}
static void count_message(Conn *c, const uint8_t *p, size_t len) { (void)c; (void)p; (void)len; received++; last_progress = now_ns; }
static void run_idle(void) {
  conns = calloc((size_t)o.n, sizeof *conns);
  on_message = count_message;
  long rss0 = broker_rss_kb();
  for (int i = 0; i < o.n; i++) {
    conn_init(&conns[i], i, "i");
    snprintf(conns[i].filter, sizeof conns[i].filter, "%s/idle/%d", o.prefix, i);
  }
  double cpu0 = broker_cpu();
  uint64_t a = clock_ns();
  open_range(0, o.n);
  double secs = (double)(clock_ns() - a) / 1e9, cpu1 = broker_cpu();
  pump = pump_ping;
  rest(o.hold);
  long rss1 = broker_rss_kb();
  printf("{\"scenario\":\"idle\",\"conns\":%d,\"connect_s\":%.3f,\"connects_per_s\":%.0f,\"hold_s\":%.1f,\"alive\":%d,\"disconnects\":%d,"
         "\"connect_cpu_s\":%.2f,\"hold_cpu_s\":%.2f,\"rss_before_kb\":%ld,\"rss_after_kb\":%ld,\"kb_per_conn\":%.2f}\n",
         o.n, secs, o.n / secs, o.hold, n_ready, n_dead, cpu1 - cpu0, broker_cpu() - cpu1, rss0, rss1, (double)(rss1 - rss0) / o.n);
}

// ---- a bulk publisher of o.count messages, for retained and offline ----
static long bulk_next;
static bool bulk_retain, bulk_clear;
static void bulk_topic(char *to, size_t n, long i) {
  if (bulk_retain) snprintf(to, n, "%s/r/%ld/%ld", o.prefix, i / 100, i % 100);
  else snprintf(to, n, "%s/off/%ld", o.prefix, i % 10);
}
static void pump_bulk(void) {
  Conn *c = &conns[0];
  while (bulk_next < o.count && can_publish(c, 1)) {
    char topic[96];
    bulk_topic(topic, sizeof topic, bulk_next);
    send_publish(c, topic, o.qos == 2 && !bulk_retain ? 2 : 1, bulk_retain, (uint32_t)bulk_next, now_ns, bulk_clear ? 0 : o.payload);
    bulk_next++;
    sent++;
  }
}
static bool bulk_done(void) { return (bulk_next == o.count && acked >= sent) || n_dead || now_ns - last_progress > 30000000000u; }
static double bulk_publish(void) {
  bulk_next = 0;
  uint64_t a = last_progress = clock_ns();
  pump = pump_bulk;
  run_until(bulk_done, o.secs > 60 ? o.secs : 60);
  pump = NULL;
  if (bulk_next < o.count || acked < sent || n_dead) die("the bulk publish did not finish");
  return (double)(clock_ns() - a) / 1e9;
}
static long want;
static bool got_want(void) { return received >= want || now_ns - last_progress > 5000000000u || n_dead; }

static double retained_read(Conn *c, const char *filter, long n, long *got) {
  received = 0;
  want = n;
  uint64_t a = last_progress = now_ns = clock_ns();
  send_subscribe(c, filter, o.qos);
  run_until(got_want, 60);
  *got = received;
  return (double)(last_progress - a) / 1e9;
}
static void run_retained(void) {
  if (!o.count) o.count = 10000;
  conns = calloc(4, sizeof *conns);
  on_message = count_message;
  for (int i = 0; i < 4; i++) conn_init(&conns[i], i, "r");
  conn_publisher(&conns[0]);
  open_range(0, 4);
  bulk_retain = true;
  double store = bulk_publish();
  rest(o.settle);  // a broker may acknowledge before it has stored
  char f[96];
  long all, some, one, missed = 0;
  snprintf(f, sizeof f, "%s/r/#", o.prefix);
  double t_all = retained_read(&conns[1], f, o.count, &all);
  snprintf(f, sizeof f, "%s/r/%ld/+", o.prefix, o.count / 200);
  long block = o.count < 100 ? o.count : 100;
  double t_some = retained_read(&conns[2], f, block, &some);
  memset(&lat, 0, sizeof lat);
  for (int i = 0; i < o.lookups; i++) {
    bulk_topic(f, sizeof f, (long)i * 7919 % o.count);
    double t = retained_read(&conns[3], f, 1, &one);
    if (one) hist_add(&lat, (uint64_t)(t * 1e9)); else missed++;
  }
  long rss = broker_rss_kb();
  if (!o.keep) {
    for (int i = 1; i < 4; i++) conn_close(&conns[i]);
    bulk_clear = true;
    bulk_publish();
  }
  printf("{\"scenario\":\"retained\",\"count\":%ld,\"payload\":%d,\"store_s\":%.3f,\"store_per_s\":%.0f,\"all_s\":%.4f,\"all_got\":%ld,\"all_per_s\":%.0f,"
         "\"plus_s\":%.4f,\"plus_got\":%ld,\"plus_expected\":%ld,\"exact_n\":%ld,\"exact_missed\":%ld,\"exact_p50_us\":%.0f,\"exact_p95_us\":%.0f,\"exact_max_us\":%.0f,"
         "\"disconnects\":%d,\"proto_err\":%ld,\"broker_rss_kb\":%ld}\n",
         o.count, o.payload, store, (double)o.count / store, t_all, all, t_all > 0 ? (double)all / t_all : 0, t_some, some, block, lat.n, missed,
         hist_us(&lat, .5), hist_us(&lat, .95), (double)lat.max / 1e3, n_dead, proto_err, rss);
}

// ---- offline ----
static uint8_t *seen;
static uint32_t *last_seq;
static void offline_message(Conn *c, const uint8_t *p, size_t len) {
  uint32_t who[2];
  if (len < 16) { proto_err++; return; }
  memcpy(who, p + 8, 8);
  last_progress = now_ns;
  if (who[1] >= (uint32_t)o.count) { proto_err++; return; }
  uint8_t *s = &seen[(size_t)(c->idx - 1) * (size_t)o.count + who[1]];
  if (*s) { dups++; return; }
  *s = 1;
  received++;
  uint32_t *last = &last_seq[c->idx - 1];
  if (who[1] + 1 < *last) out_of_order++; else *last = who[1] + 1;
}
static void run_offline(void) {
  if (!o.count) o.count = 5000;
  if (!o.qos) o.qos = 1;
  conns = calloc((size_t)o.subs + 1, sizeof *conns);
  seen = calloc((size_t)o.subs * (size_t)o.count, 1);
  last_seq = calloc((size_t)o.subs, 4);
  on_message = offline_message;
  conn_init(&conns[0], 0, "p");
  conn_publisher(&conns[0]);
  for (int i = 1; i <= o.subs; i++) {
    conn_init(&conns[i], i, "off");
    conns[i].clean = false;
    conns[i].sub_qos = o.qos;
    snprintf(conns[i].filter, sizeof conns[i].filter, "%s/off/+", o.prefix);
  }
  open_range(0, o.subs + 1);
  for (int i = 1; i <= o.subs; i++) conn_close(&conns[i]);
  rest(0.3);
  double cpu0 = broker_cpu();
  double store = bulk_publish();
  rest(o.settle);  // a broker may acknowledge before it has stored
  double cpu1 = broker_cpu();
  long rss = broker_rss_kb();
  if (o.between) {
    conn_close(&conns[0]);
    if (system(o.between)) die("the command of -x failed");
  }
  for (int i = 1; i <= o.subs; i++) conns[i].filter[0] = 0;  // the session holds the subscription
  want = o.count * o.subs;
  uint64_t a = clock_ns();
  open_range(1, o.subs + 1);
  long present = 0;
  for (int i = 1; i <= o.subs; i++) present += conns[i].session_present;
  last_progress = clock_ns();
  run_until(got_want, 120);
  double drain = (double)(last_progress - a) / 1e9, cpu2 = broker_cpu();
  rest(0.5);  // late duplicates
  for (int i = 1; i <= o.subs; i++) { conn_close(&conns[i]); conns[i].clean = true; }
  open_range(1, o.subs + 1);  // wipes the sessions
  printf("{\"scenario\":\"offline\",\"qos\":%d,\"v\":%d,\"subs\":%d,\"count\":%ld,\"payload\":%d,\"store_s\":%.3f,\"store_per_s\":%.0f,\"drain_s\":%.4f,\"drain_per_s\":%.0f,"
         "\"sessions_present\":%ld,\"expected\":%ld,\"delivered\":%ld,\"lost\":%ld,\"dup\":%ld,\"out_of_order\":%ld,"
         "\"disconnects\":%d,\"proto_err\":%ld,\"store_cpu_s\":%.2f,\"drain_cpu_s\":%.2f,\"broker_rss_kb\":%ld}\n",
         o.qos, o.v5 ? 5 : 4, o.subs, o.count, o.payload, store, (double)o.count / store, drain, drain > 0 ? (double)received / drain : 0, present, want,
         received, want - received, dups, out_of_order, n_dead, proto_err, cpu1 - cpu0, cpu2 - cpu1, rss);
}

static void usage(void) {
  fputs("usage: mqttload fanin|fanout|p2p|idle|retained|offline [-p port] [-q qos] [-P publishers] [-S subscribers]\n"
        "  [-N pairs or connections] [-n messages] [-t seconds] [-u warm-up s] [-s payload bytes] [-w window]\n"
        "  [-o outstanding deliveries] [-r messages/s] [-h hold s] [-z settle s] [-l lookups] [-k] [-d] [-x command]\n"
        "  [-T prefix] [-V 4|5] [-M broker pid]\n", stderr);
  exit(2);
}
int main(int argc, char **argv) {
  if (argc < 2) usage();
  o.scenario = argv[1];
  static char prefix[32];
  snprintf(prefix, sizeof prefix, "ml%d", (int)getpid());
  o.prefix = prefix;
  int c;
  optind = 2;
  while ((c = getopt(argc, argv, "p:q:P:S:N:n:t:u:s:w:o:r:h:z:l:kdx:T:V:M:")) != -1) switch (c) {
    case 'p': o.port = atoi(optarg); break;
    case 'q': o.qos = atoi(optarg); break;
    case 'P': o.pubs = atoi(optarg); break;
    case 'S': o.subs = atoi(optarg); break;
    case 'N': o.n = atoi(optarg); break;
    case 'n': o.count = atol(optarg); break;
    case 't': o.secs = atof(optarg); break;
    case 'u': o.warm = atof(optarg); break;
    case 's': o.payload = atoi(optarg); break;
    case 'w': o.window = atoi(optarg); break;
    case 'o': o.outstanding = atol(optarg); break;
    case 'r': o.rate = atof(optarg); break;
    case 'h': o.hold = atof(optarg); break;
    case 'z': o.settle = atof(optarg); break;
    case 'l': o.lookups = atoi(optarg); break;
    case 'k': o.keep = 1; break;
    case 'd': o.durable = 1; break;
    case 'x': o.between = optarg; break;
    case 'T': o.prefix = optarg; break;
    case 'V': o.v5 = atoi(optarg) == 5; break;
    case 'M': o.pid = atoi(optarg); break;
    default: usage();
  }
  if (o.qos < 0 || o.qos > 2 || o.payload < 16 || o.payload > 1 << 20 || o.window < 1 || o.window > 65535 || o.pubs < 1 ||
      o.subs < 1 || o.n < 1 || o.pubs + o.subs > 60000 || o.n > 30000 || o.secs > 600 || o.hold > 600 || strlen(o.prefix) > 31) usage();
  struct rlimit r;
  getrlimit(RLIMIT_NOFILE, &r);
  r.rlim_cur = r.rlim_max;
  setrlimit(RLIMIT_NOFILE, &r);
  prctl(PR_SET_TIMERSLACK, 1000);
  ep = epoll_create1(EPOLL_CLOEXEC);
  now_ns = clock_ns();
  if (!strcmp(o.scenario, "fanin") || !strcmp(o.scenario, "fanout") || !strcmp(o.scenario, "p2p")) run_streams();
  else if (!strcmp(o.scenario, "idle")) run_idle();
  else if (!strcmp(o.scenario, "retained")) run_retained();
  else if (!strcmp(o.scenario, "offline")) run_offline();
  else usage();
  return 0;
}
