/* Checks librabbitmq against the broker at LEVERET_URL: what its users do, and what must come of it. Each check is a function
   that may be copied; CHECK ends it at the first thing that is not as expected. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                        \
  do {                                                          \
    if (!(condition)) {                                         \
      snprintf(why, sizeof why, "%d: %s", __LINE__, #condition); \
      return false;                                             \
    }                                                           \
  } while (0)

static char why[400];
static struct amqp_connection_info at;
static const amqp_channel_t CHANNEL = 1;
static const struct timeval PATIENCE = {5, 0};

static amqp_bytes_t text(const char *s) { return amqp_cstring_bytes(s); }

static bool is(amqp_bytes_t bytes, const char *s) {
  return bytes.len == strlen(s) && memcmp(bytes.bytes, s, bytes.len) == 0;
}

static amqp_connection_state_t logged_in(const char *vhost, int heartbeat) {
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  if (amqp_socket_open(socket, at.host, at.port) != 0) exit(2);
  amqp_rpc_reply_t reply =
      amqp_login(connection, vhost, 0, 131072, heartbeat, AMQP_SASL_METHOD_PLAIN, at.user, at.password);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return connection;
  amqp_destroy_connection(connection);
  return NULL;
}

static amqp_connection_state_t opened(void) {
  amqp_connection_state_t connection = logged_in(at.vhost, 0);
  if (connection == NULL || amqp_channel_open(connection, CHANNEL) == NULL) exit(2);
  return connection;
}

static void closed(amqp_connection_state_t connection) {
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  amqp_destroy_connection(connection);
}

/* A queue of this connection alone; the name is valid until the connection's memory is released. */
static amqp_bytes_t own_queue(amqp_connection_state_t connection, amqp_table_t arguments) {
  amqp_queue_declare_ok_t *ok = amqp_queue_declare(connection, CHANNEL, amqp_empty_bytes, 0, 0, 1, 1, arguments);
  return ok == NULL ? amqp_empty_bytes : amqp_bytes_malloc_dup(ok->queue);
}

static int publish(amqp_connection_state_t connection, amqp_bytes_t queue, amqp_bytes_t body) {
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
  return amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, queue, 0, 0, &properties, body);
}

/* The next delivery; false: none came in time. To be destroyed by the caller. */
static bool delivered(amqp_connection_state_t connection, amqp_envelope_t *envelope) {
  amqp_maybe_release_buffers(connection);
  struct timeval patience = PATIENCE;
  return amqp_consume_message(connection, envelope, &patience, 0).reply_type == AMQP_RESPONSE_NORMAL;
}

/* Takes a message from the queue, NULL if it is empty. The message is to be destroyed by the caller. */
static amqp_basic_get_ok_t *got(amqp_connection_state_t connection, amqp_bytes_t queue, amqp_message_t *message) {
  amqp_rpc_reply_t reply = amqp_basic_get(connection, CHANNEL, queue, 0);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL || reply.reply.id != AMQP_BASIC_GET_OK_METHOD) return NULL;
  amqp_basic_get_ok_t *ok = reply.reply.decoded;
  return amqp_read_message(connection, CHANNEL, message, 0).reply_type == AMQP_RESPONSE_NORMAL ? ok : NULL;
}

/* The next method that the broker sends of its own accord. */
static bool told(amqp_connection_state_t connection, amqp_method_t *method) {
  amqp_frame_t frame;
  struct timeval patience = PATIENCE;
  if (amqp_simple_wait_frame_noblock(connection, &frame, &patience) != AMQP_STATUS_OK) return false;
  *method = frame.payload.method;
  return frame.frame_type == AMQP_FRAME_METHOD;
}

static bool work_queue(amqp_connection_state_t connection) {
  amqp_bytes_t queue = own_queue(connection, amqp_empty_table);
  for (int i = 0; i < 5; i++) CHECK(publish(connection, queue, text("work")) == 0);
  CHECK(amqp_basic_qos(connection, CHANNEL, 0, 2, 0) != NULL);
  CHECK(amqp_basic_consume(connection, CHANNEL, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table) != NULL);
  uint64_t tag = 0;
  for (int i = 0; i < 2; i++) {
    amqp_envelope_t envelope;
    CHECK(delivered(connection, &envelope));
    CHECK(is(envelope.message.body, "work") && !envelope.redelivered);
    tag = envelope.delivery_tag;
    amqp_destroy_envelope(&envelope);
  }
  amqp_envelope_t envelope;
  struct timeval moment = {0, 300000};
  CHECK(amqp_consume_message(connection, &envelope, &moment, 0).library_error == AMQP_STATUS_TIMEOUT);
  CHECK(amqp_basic_ack(connection, CHANNEL, tag, 1) == 0);
  CHECK(delivered(connection, &envelope));
  CHECK(amqp_basic_reject(connection, CHANNEL, envelope.delivery_tag, 1) == 0);
  amqp_destroy_envelope(&envelope);
  bool was_redelivered = false;
  for (int i = 0; i < 2; i++) {
    CHECK(delivered(connection, &envelope));
    was_redelivered |= envelope.redelivered;
    amqp_destroy_envelope(&envelope);
  }
  CHECK(was_redelivered);
  return true;
}

/* Three queues bound to a fanout exchange: each gets a copy. */
static bool publish_subscribe(amqp_connection_state_t connection) {
  amqp_bytes_t news = text("c-news");
  CHECK(amqp_exchange_declare(connection, CHANNEL, news, text("fanout"), 0, 0, 1, 0, amqp_empty_table) != NULL);
  amqp_bytes_t queues[3];
  for (int i = 0; i < 3; i++) {
    queues[i] = own_queue(connection, amqp_empty_table);
    CHECK(amqp_queue_bind(connection, CHANNEL, queues[i], news, amqp_empty_bytes, amqp_empty_table) != NULL);
  }
  CHECK(amqp_basic_publish(connection, CHANNEL, news, text("ignored"), 0, 0, NULL, text("spring")) == 0);
  for (int i = 0; i < 3; i++) {
    amqp_message_t message;
    CHECK(got(connection, queues[i], &message) != NULL);
    CHECK(is(message.body, "spring"));
    amqp_destroy_message(&message);
    CHECK(amqp_queue_purge(connection, CHANNEL, queues[i])->message_count == 0);
  }
  return true;
}

static bool topics(amqp_connection_state_t connection) {
  amqp_bytes_t queue = own_queue(connection, amqp_empty_table);
  CHECK(amqp_queue_bind(connection, CHANNEL, queue, text("amq.topic"), text("c-check.*.error"), amqp_empty_table));
  const char *keys[] = {"c-check.mail.info", "c-check.mail.error", "c-check.error"};
  for (int i = 0; i < 3; i++) {
    CHECK(amqp_basic_publish(connection, CHANNEL, text("amq.topic"), text(keys[i]), 0, 0, NULL, text(keys[i])) == 0);
  }
  CHECK(amqp_basic_consume(connection, CHANNEL, queue, amqp_empty_bytes, 0, 1, 0, amqp_empty_table) != NULL);
  amqp_envelope_t envelope;
  CHECK(delivered(connection, &envelope));
  CHECK(is(envelope.message.body, "c-check.mail.error") && is(envelope.exchange, "amq.topic"));
  amqp_destroy_envelope(&envelope);
  return true;
}

static amqp_table_entry_t header(const char *name, const char *value) {
  return (amqp_table_entry_t){text(name), {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text(value)}};
}

static bool headers(amqp_connection_state_t connection) {
  amqp_table_entry_t all[] = {header("kind", "c-hare"), header("coat", "c-brown"), header("x-match", "all")};
  amqp_table_entry_t any[] = {all[0], all[1], header("x-match", "any")};
  amqp_bytes_t both = own_queue(connection, amqp_empty_table), either = own_queue(connection, amqp_empty_table);
  CHECK(amqp_queue_bind(connection, CHANNEL, both, text("amq.headers"), amqp_empty_bytes, (amqp_table_t){3, all}) != NULL);
  CHECK(amqp_queue_bind(connection, CHANNEL, either, text("amq.headers"), amqp_empty_bytes, (amqp_table_t){3, any}) != NULL);
  for (int count = 0; count <= 2; count++) {
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG, .headers = {count, all}};
    CHECK(amqp_basic_publish(connection, CHANNEL, text("amq.headers"), amqp_empty_bytes, 0, 0, &properties, text("x")) == 0);
  }
  CHECK(amqp_queue_purge(connection, CHANNEL, both)->message_count == 1);
  CHECK(amqp_queue_purge(connection, CHANNEL, either)->message_count == 2);
  return true;
}

static bool rpc(amqp_connection_state_t connection) {
  amqp_bytes_t queue = own_queue(connection, amqp_empty_table), replies = text("amq.rabbitmq.reply-to");
  CHECK(amqp_basic_consume(connection, CHANNEL, replies, amqp_empty_bytes, 0, 1, 0, amqp_empty_table) != NULL);
  amqp_basic_properties_t properties = {._flags = AMQP_BASIC_REPLY_TO_FLAG, .reply_to = replies};
  CHECK(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, queue, 1, 0, &properties, text("question")) == 0);
  amqp_connection_state_t service = opened();
  CHECK(amqp_queue_declare(service, CHANNEL, queue, 1, 0, 0, 0, amqp_empty_table) == NULL); /* it is exclusive */
  closed(service);
  amqp_message_t question;
  CHECK(amqp_basic_get(connection, CHANNEL, queue, 1).reply.id == AMQP_BASIC_GET_OK_METHOD);
  CHECK(amqp_read_message(connection, CHANNEL, &question, 0).reply_type == AMQP_RESPONSE_NORMAL);
  CHECK(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, question.properties.reply_to, 0, 0, NULL, text("answer")) == 0);
  amqp_destroy_message(&question);
  amqp_envelope_t envelope;
  CHECK(delivered(connection, &envelope));
  CHECK(is(envelope.message.body, "answer"));
  amqp_destroy_envelope(&envelope);
  return true;
}

static bool confirms(amqp_connection_state_t connection) {
  amqp_table_entry_t limits[] = {
      {text("x-max-length"), {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 1}},
      {text("x-overflow"), {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text("reject-publish")}},
  };
  amqp_bytes_t queue = own_queue(connection, (amqp_table_t){2, limits});
  CHECK(amqp_confirm_select(connection, CHANNEL) != NULL);
  amqp_method_t method;
  CHECK(publish(connection, queue, text("fits")) == 0);
  CHECK(told(connection, &method) && method.id == AMQP_BASIC_ACK_METHOD);
  CHECK(((amqp_basic_ack_t *)method.decoded)->delivery_tag == 1);
  CHECK(publish(connection, queue, text("too much")) == 0);
  CHECK(told(connection, &method) && method.id == AMQP_BASIC_NACK_METHOD);
  CHECK(((amqp_basic_nack_t *)method.decoded)->delivery_tag == 2);
  return true;
}

static bool many_confirms(amqp_connection_state_t connection) {
  amqp_bytes_t queue = own_queue(connection, amqp_empty_table);
  CHECK(amqp_confirm_select(connection, CHANNEL) != NULL);
  for (int i = 0; i < 500; i++) CHECK(publish(connection, queue, text("x")) == 0);
  uint64_t confirmed = 0;
  while (confirmed < 500) {
    amqp_method_t method;
    CHECK(told(connection, &method) && method.id == AMQP_BASIC_ACK_METHOD);
    amqp_basic_ack_t *ack = method.decoded;
    confirmed = ack->multiple ? ack->delivery_tag : confirmed + 1;
    amqp_maybe_release_buffers(connection);
  }
  CHECK(confirmed == 500);
  CHECK(amqp_queue_purge(connection, CHANNEL, queue)->message_count == 500);
  return true;
}

static bool get(amqp_connection_state_t connection) {
  amqp_bytes_t queue = own_queue(connection, amqp_empty_table);
  CHECK(publish(connection, queue, text("one")) == 0 && publish(connection, queue, text("two")) == 0);
  for (int round = 0; round < 2; round++) {
    amqp_message_t message;
    amqp_basic_get_ok_t *ok = got(connection, queue, &message);
    CHECK(ok != NULL && ok->message_count == 1 && ok->redelivered == round);
    CHECK(is(message.body, "one"));
    CHECK(amqp_basic_nack(connection, CHANNEL, ok->delivery_tag, 0, round == 0) == 0);
    amqp_destroy_message(&message);
  }
  CHECK(amqp_queue_purge(connection, CHANNEL, queue)->message_count == 1);
  CHECK(amqp_basic_get(connection, CHANNEL, queue, 1).reply.id == AMQP_BASIC_GET_EMPTY_METHOD);
  return true;
}

static bool mandatory(amqp_connection_state_t connection) {
  CHECK(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, text("c-nobody"), 1, 0, NULL, text("hello")) == 0);
  amqp_method_t method;
  CHECK(told(connection, &method) && method.id == AMQP_BASIC_RETURN_METHOD);
  amqp_basic_return_t *returned = method.decoded;
  CHECK(returned->reply_code == 312 && is(returned->reply_text, "NO_ROUTE") && is(returned->routing_key, "c-nobody"));
  amqp_message_t message;
  CHECK(amqp_read_message(connection, CHANNEL, &message, 0).reply_type == AMQP_RESPONSE_NORMAL);
  CHECK(is(message.body, "hello"));
  amqp_destroy_message(&message);
  return true;
}

static bool dead_letter(amqp_connection_state_t connection) {
  amqp_bytes_t dead = own_queue(connection, amqp_empty_table);
  amqp_table_entry_t arguments[] = {
      {text("x-message-ttl"), {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 100}},
      {text("x-dead-letter-exchange"), {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text("")}},
      {text("x-dead-letter-routing-key"), {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = dead}},
  };
  CHECK(publish(connection, own_queue(connection, (amqp_table_t){3, arguments}), text("too late")) == 0);
  CHECK(amqp_basic_consume(connection, CHANNEL, dead, amqp_empty_bytes, 0, 1, 0, amqp_empty_table) != NULL);
  amqp_envelope_t envelope;
  CHECK(delivered(connection, &envelope));
  CHECK(is(envelope.message.body, "too late"));
  amqp_table_t sent = envelope.message.properties.headers;
  bool has_death = false;
  for (int i = 0; i < sent.num_entries; i++) {
    if (is(sent.entries[i].key, "x-death")) has_death = sent.entries[i].value.kind == AMQP_FIELD_KIND_ARRAY;
  }
  CHECK(has_death);
  amqp_destroy_envelope(&envelope);
  return true;
}

static bool channel_error(amqp_connection_state_t connection) {
  CHECK(amqp_queue_declare(connection, CHANNEL, text("c-strict"), 0, 0, 1, 1, amqp_empty_table) != NULL);
  CHECK(amqp_queue_declare(connection, CHANNEL, text("c-strict"), 0, 0, 1, 0, amqp_empty_table) == NULL);
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
  CHECK(reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD);
  amqp_channel_close_t *reason = reply.reply.decoded;
  const char *expected = "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'c-strict' in vhost '/'";
  CHECK(reason->reply_code == 406 && strncmp(reason->reply_text.bytes, expected, strlen(expected)) == 0);
  amqp_channel_close_ok_t ok;
  CHECK(amqp_send_method(connection, CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok) == 0);
  CHECK(amqp_channel_open(connection, CHANNEL) != NULL);
  return true;
}

static bool connection_error(amqp_connection_state_t connection) {
  (void)connection;
  amqp_connection_state_t other = opened();
  CHECK(amqp_basic_qos(other, CHANNEL, 10, 0, 0) == NULL);
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(other);
  CHECK(reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD);
  amqp_connection_close_t *reason = reply.reply.decoded;
  CHECK(reason->reply_code == 540 && is(reason->reply_text, "NOT_IMPLEMENTED - prefetch_size!=0 (10)"));
  amqp_destroy_connection(other);
  return true;
}

static bool unknown_vhost(amqp_connection_state_t connection) {
  (void)connection;
  CHECK(logged_in("no such vhost", 0) == NULL);
  return true;
}

static bool large_body(amqp_connection_state_t connection) {
  amqp_bytes_t queue = own_queue(connection, amqp_empty_table), body = amqp_bytes_malloc(5000000);
  for (size_t i = 0; i < body.len; i++) ((char *)body.bytes)[i] = (char)(i * 7);
  CHECK(publish(connection, queue, body) == 0);
  CHECK(amqp_basic_get(connection, CHANNEL, queue, 1).reply.id == AMQP_BASIC_GET_OK_METHOD);
  amqp_message_t message;
  CHECK(amqp_read_message(connection, CHANNEL, &message, 0).reply_type == AMQP_RESPONSE_NORMAL);
  CHECK(message.body.len == body.len && memcmp(message.body.bytes, body.bytes, body.len) == 0);
  amqp_destroy_message(&message);
  amqp_bytes_free(body);
  return true;
}

/* Both tables encoded by the library, byte by byte; the broker may have them in another order, so one header at a time. */
static bool is_same(amqp_table_t one, amqp_table_t other) {
  static char bytes[2][1000];
  size_t lengths[2] = {0, 0};
  amqp_bytes_t spaces[2] = {{sizeof bytes[0], bytes[0]}, {sizeof bytes[1], bytes[1]}};
  if (amqp_encode_table(spaces[0], &one, &lengths[0]) != 0 || amqp_encode_table(spaces[1], &other, &lengths[1]) != 0) return false;
  return lengths[0] == lengths[1] && memcmp(bytes[0], bytes[1], lengths[0]) == 0;
}

static bool header_types(amqp_connection_state_t connection) {
  amqp_table_entry_t inner[] = {header("deep", "er")};
  amqp_field_value_t list[] = {{.kind = AMQP_FIELD_KIND_I32, .value.i32 = 1}, inner[0].value};
  const amqp_field_value_t values[] = {
      {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text("Hasenpfote 野兎")},
      {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text("")},
      {.kind = AMQP_FIELD_KIND_BYTES, .value.bytes = {3, "\0\377x"}},
      {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1},
      {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 0},
      {.kind = AMQP_FIELD_KIND_I8, .value.i8 = INT8_MIN},
      {.kind = AMQP_FIELD_KIND_U8, .value.u8 = UINT8_MAX},
      {.kind = AMQP_FIELD_KIND_I16, .value.i16 = INT16_MIN},
      {.kind = AMQP_FIELD_KIND_U16, .value.u16 = UINT16_MAX},
      {.kind = AMQP_FIELD_KIND_I32, .value.i32 = INT32_MIN},
      {.kind = AMQP_FIELD_KIND_U32, .value.u32 = UINT32_MAX},
      {.kind = AMQP_FIELD_KIND_I64, .value.i64 = INT64_MIN},
      {.kind = AMQP_FIELD_KIND_F32, .value.f32 = 1.5f},
      {.kind = AMQP_FIELD_KIND_F64, .value.f64 = 1.1},
      {.kind = AMQP_FIELD_KIND_DECIMAL, .value.decimal = {2, 314}},
      {.kind = AMQP_FIELD_KIND_TIMESTAMP, .value.u64 = 2147483648u},
      {.kind = AMQP_FIELD_KIND_VOID},
      {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {1, inner}},
      {.kind = AMQP_FIELD_KIND_ARRAY, .value.array = {2, list}},
  };
  amqp_bytes_t queue = own_queue(connection, amqp_empty_table);
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    amqp_table_entry_t sent = {text("header"), values[i]};
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG, .headers = {1, &sent}};
    CHECK(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, queue, 0, 0, &properties, text("x")) == 0);
    amqp_message_t message;
    CHECK(got(connection, queue, &message) != NULL);
    bool same = is_same(properties.headers, message.properties.headers);
    amqp_destroy_message(&message);
    if (!same) snprintf(why, sizeof why, "a header of type %c", values[i].kind);
    if (!same) return false;
  }
  return true;
}

static bool properties(amqp_connection_state_t connection) {
  amqp_basic_properties_t sent = {
      ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG |
                AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG |
                AMQP_BASIC_USER_ID_FLAG | AMQP_BASIC_APP_ID_FLAG | AMQP_BASIC_CLUSTER_ID_FLAG,
      .content_type = text("text/plain"), .content_encoding = text("utf-8"), .delivery_mode = 2, .priority = 3,
      .correlation_id = text("c"), .reply_to = text("answers"), .expiration = text("60000"), .message_id = text("m"),
      .timestamp = 1700000000, .type = text("hare"), .user_id = text(at.user), .app_id = text("shop"), .cluster_id = text("x"),
  };
  amqp_bytes_t queue = own_queue(connection, amqp_empty_table);
  CHECK(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes, queue, 0, 0, &sent, text("x")) == 0);
  amqp_message_t message;
  CHECK(got(connection, queue, &message) != NULL);
  amqp_basic_properties_t *came = &message.properties;
  CHECK(came->_flags == sent._flags && came->delivery_mode == 2 && came->priority == 3 && came->timestamp == sent.timestamp);
  CHECK(is(came->content_type, "text/plain") && is(came->content_encoding, "utf-8") && is(came->correlation_id, "c"));
  CHECK(is(came->reply_to, "answers") && is(came->expiration, "60000") && is(came->message_id, "m") && is(came->type, "hare"));
  CHECK(is(came->user_id, at.user) && is(came->app_id, "shop") && is(came->cluster_id, "x"));
  amqp_destroy_message(&message);
  return true;
}

static bool unicode_names(amqp_connection_state_t connection) {
  amqp_bytes_t queue = text("c-Häschen-野兎-🐇");
  CHECK(amqp_queue_declare(connection, CHANNEL, queue, 0, 0, 1, 1, amqp_empty_table) != NULL);
  CHECK(publish(connection, queue, text("x")) == 0);
  CHECK(amqp_queue_purge(connection, CHANNEL, queue)->message_count == 1);
  return true;
}

/* The library sends heartbeats while it waits. */
static bool heartbeats(amqp_connection_state_t connection) {
  (void)connection;
  amqp_connection_state_t idle = logged_in(at.vhost, 1);
  CHECK(idle != NULL);
  amqp_frame_t frame;
  struct timeval patience = {4, 0};
  CHECK(amqp_simple_wait_frame_noblock(idle, &frame, &patience) == AMQP_STATUS_TIMEOUT);
  CHECK(amqp_channel_open(idle, CHANNEL) != NULL);
  closed(idle);
  return true;
}

static bool restart(amqp_connection_state_t connection) {
  amqp_bytes_t queue = text("c-durable");
  CHECK(amqp_queue_declare(connection, CHANNEL, queue, 0, 1, 0, 0, amqp_empty_table) != NULL);
  CHECK(amqp_confirm_select(connection, CHANNEL) != NULL);
  CHECK(publish(connection, queue, text("kept")) == 0);
  amqp_method_t method;
  CHECK(told(connection, &method) && method.id == AMQP_BASIC_ACK_METHOD);
  CHECK(system("eval \"$LEVERET_RESTART\" >&2") == 0);
  CHECK(amqp_queue_purge(connection, CHANNEL, queue) == NULL); /* the connection is lost, and the library says so */
  amqp_connection_state_t again = opened();
  amqp_queue_declare_ok_t *ok = amqp_queue_declare(again, CHANNEL, queue, 1, 0, 0, 0, amqp_empty_table);
  CHECK(ok != NULL && ok->message_count == 1);
  CHECK(amqp_queue_delete(again, CHANNEL, queue, 0, 0) != NULL);
  closed(again);
  return true;
}

int main(void) {
  static char url[200];
  snprintf(url, sizeof url, "%s", getenv("LEVERET_URL"));
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (amqp_parse_url(url, &at) != AMQP_STATUS_OK) return 2;
  static const struct {
    const char *what;
    bool (*check)(amqp_connection_state_t);
  } checks[] = {
      {"work queue: acks, prefetch, a rejected message comes again", work_queue},
      {"publish/subscribe: every subscriber gets a copy", publish_subscribe},
      {"topic routing", topics},
      {"headers routing: all and any", headers},
      {"RPC with direct reply-to", rpc},
      {"confirms: ack, and nack by reject-publish", confirms},
      {"confirms: 500 outstanding", many_confirms},
      {"mandatory message without a queue comes back", mandatory},
      {"get: message, count of the rest, redelivered, empty", get},
      {"TTL and dead letter: expired message moves on", dead_letter},
      {"channel error 406 on redeclare, the channel can be opened again", channel_error},
      {"connection error 540 on a prefetch size", connection_error},
      {"unknown vhost is refused", unknown_vhost},
      {"body of 5 MB", large_body},
      {"every header type comes back unchanged", header_types},
      {"every property comes back unchanged", properties},
      {"unicode names", unicode_names},
      {"heartbeats keep an idle connection", heartbeats},
      {"restart: what is durable is still there", restart},
  };
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
    if (checks[i].check == restart && getenv("LEVERET_RESTART") == NULL) {
      printf("skipped: %s: no LEVERET_RESTART\n", checks[i].what);
      continue;
    }
    amqp_connection_state_t connection = opened();
    alarm(40);
    if (checks[i].check(connection)) printf("ok %s\n", checks[i].what);
    else printf("FAILED %s: %s\n", checks[i].what, why);
    closed(connection);
  }
  puts("done");
  return 0;
}
