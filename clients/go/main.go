// Checks amqp091-go against the broker at LEVERET_URL: what a user of it does, and what must come of it.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"sort"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	url    = environment("LEVERET_URL", "amqp://guest:guest@127.0.0.1:5672/")
	prefix = fmt.Sprintf("go-%d", os.Getpid())
)

const noWait, mandatory, multiple = false, true, true

func main() {
	p := &program{connection: get(amqp.Dial(url))}
	checks := &Checks{}
	for _, check := range []struct {
		what string
		work func()
	}{
		{"work queue: acks, prefetch, work that fails comes again", p.workQueue},
		{"publish/subscribe: every subscriber gets a copy", p.publishSubscribe},
		{"topic routing: * and #", p.topics},
		{"headers routing: all and any", p.headers},
		{"RPC with direct reply-to", p.rpc},
		{"confirms: each publish waits for its own", p.confirmSingle},
		{"confirms: 500 outstanding", p.confirmMany},
		{"confirms: nack by reject-publish", p.rejectPublish},
		{"mandatory message without a queue comes back", p.mandatoryReturn},
		{"get: message, count of the rest, empty", p.get},
		{"TTL and dead letter: expired message moves on", p.deadLetter},
		{"priorities: urgent messages first", p.priorities},
		{"channel error 406 on redeclare, the connection lives on", p.channelError},
		{"connection error 540 on a prefetch size", p.connectionError},
		{"unknown vhost is refused", p.unknownVhost},
		{"body of 5 MB", p.largeBody},
		{"every header type comes back unchanged", p.headerTypes},
		{"every property comes back unchanged", p.properties},
		{"unicode names", p.unicodeNames},
		{"ten goroutines publish on channels of one connection", p.goroutines},
		{"consumer is told when its queue is deleted", p.cancelled},
		{"heartbeats keep an idle connection", p.heartbeats},
		{"restart: durable things and messages are still there", p.restart},
		{"restart: consumer connects again", p.reconnect},
	} {
		checks.Check(check.what, check.work)
	}
	checks.Finish()
}

type program struct{ connection *amqp.Connection }

func (p *program) channel() *amqp.Channel {
	if p.connection.IsClosed() {
		p.connection = get(amqp.Dial(url))
	}
	return get(p.connection.Channel())
}

func name(what string) string { return prefix + "." + what }

func durableQueue(ch *amqp.Channel, what string) string {
	return get(ch.QueueDeclare(name(what), true, false, false, noWait, nil)).Name
}

func ownQueue(ch *amqp.Channel, arguments amqp.Table) string {
	return get(ch.QueueDeclare("", false, false, true, noWait, arguments)).Name
}

func publish(ch *amqp.Channel, exchange, key string, message amqp.Publishing) {
	must(ch.PublishWithContext(context.Background(), exchange, key, false, false, message))
}

// all takes what lies in the queue now.
func all(ch *amqp.Channel, queue string) []string {
	bodies := []string{}
	for {
		d, isThere, err := ch.Get(queue, true)
		must(err)
		if !isThere {
			return bodies
		}
		bodies = append(bodies, string(d.Body))
	}
}

func next(deliveries <-chan amqp.Delivery) amqp.Delivery {
	select {
	case d := <-deliveries:
		return d
	case <-time.After(5 * time.Second):
		panic("nothing came")
	}
}

func (p *program) workQueue() {
	ch := p.channel()
	queue := durableQueue(ch, "work")
	for i := 0; i < 20; i++ {
		must(addWork(ch, queue, []byte(strconv.Itoa(i))))
	}
	done, refused := []int{}, 0
	must(doWork(ch, queue, 3, 500*time.Millisecond, func(body []byte) error {
		n := get(strconv.Atoi(string(body)))
		if n == 7 && refused == 0 {
			refused++
			return errors.New("not today")
		}
		done = append(done, n)
		return nil
	}))
	sort.Ints(done)
	equal(len(done), 20, "work done")
	equal(done[19], 19, "the last")
	for i := 0; i < 5; i++ {
		must(addWork(ch, queue, nil))
	}
	must(ch.Qos(2, 0, false))
	deliveries := get(ch.Consume(queue, "", false, false, false, noWait, nil))
	_, second := next(deliveries), next(deliveries)
	select {
	case <-deliveries:
		panic("a third message with prefetch 2")
	case <-time.After(300 * time.Millisecond):
	}
	must(second.Ack(multiple))
	next(deliveries)
	must(ch.Close())
	get(p.channel().QueueDelete(queue, false, false, noWait))
}

func (p *program) publishSubscribe() {
	ch, exchange := p.channel(), name("news")
	queues := []string{}
	for i := 0; i < 3; i++ {
		queues = append(queues, get(subscribe(ch, exchange, "fanout", "", nil)))
	}
	publish(ch, exchange, "ignored", amqp.Publishing{Body: []byte("spring")})
	for _, queue := range queues {
		equal(all(ch, queue), []string{"spring"}, "messages of a subscriber")
	}
}

func (p *program) topics() {
	ch, exchange := p.channel(), name("topics")
	expected := map[string][]string{
		"*.error": {"mail.error", "web.error"},
		"mail.#":  {"mail.error", "mail.info.today"},
		"#":       {"mail.error", "mail.info.today", "web.error", "error"},
	}
	queues := map[string]string{}
	for key := range expected {
		queues[key] = get(subscribe(ch, exchange, "topic", key, nil))
	}
	for _, key := range expected["#"] {
		publish(ch, exchange, key, amqp.Publishing{Body: []byte(key)})
	}
	for key, queue := range queues {
		equal(all(ch, queue), expected[key], "messages for "+key)
	}
}

func (p *program) headers() {
	ch, exchange := p.channel(), name("headers")
	match := func(how string) string {
		wanted := amqp.Table{"kind": "hare", "legs": int32(4), "x-match": how}
		return get(subscribe(ch, exchange, "headers", "", wanted))
	}
	both, either := match("all"), match("any")
	for body, headers := range []amqp.Table{
		{"kind": "hare", "legs": int64(4)}, {"kind": "hare"}, {"kind": "fox", "legs": int32(3)},
	} {
		publish(ch, exchange, "", amqp.Publishing{Headers: headers, Body: []byte(strconv.Itoa(body))})
	}
	equal(all(ch, both), []string{"0"}, "all")
	equal(all(ch, either), []string{"0", "1"}, "any")
}

func (p *program) rpc() {
	ch := p.channel()
	queue := ownQueue(ch, nil)
	must(serve(ch, queue, bytes.ToUpper))
	for i := 0; i < 20; i++ {
		answer := get(call(p.connection, queue, []byte(fmt.Sprint("hare ", i))))
		equal(string(answer), fmt.Sprint("HARE ", i), "answer")
	}
}

func (p *program) confirmSingle() {
	ch := p.channel()
	queue := durableQueue(ch, "confirmed")
	safe := get(confirming(ch))
	for i := 0; i < 50; i++ {
		equal(get(safe.publish(queue, nil)), true, "confirmed")
	}
	equal(get(ch.QueueDelete(queue, false, false, noWait)), 50, "messages")
}

func (p *program) confirmMany() {
	ch := p.channel()
	queue := durableQueue(ch, "confirmed")
	must(ch.Confirm(noWait))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 500))
	for i := 0; i < 500; i++ {
		must(addWork(ch, queue, []byte(strconv.Itoa(i))))
	}
	for i := uint64(1); i <= 500; i++ {
		equal(<-confirms, amqp.Confirmation{DeliveryTag: i, Ack: true}, "confirm")
	}
	equal(get(ch.QueueDelete(queue, false, false, noWait)), 500, "messages")
}

func (p *program) rejectPublish() {
	ch := p.channel()
	queue := ownQueue(ch, amqp.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
	safe := get(confirming(ch))
	equal(get(safe.publish(queue, []byte("fits"))), true, "first")
	equal(get(safe.publish(queue, []byte("too much"))), false, "second")
	equal(all(ch, queue), []string{"fits"}, "messages")
	equal(get(safe.publish(queue, []byte("fits again"))), true, "after it was emptied")
}

func (p *program) mandatoryReturn() {
	ch := p.channel()
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	message := amqp.Publishing{Body: []byte("hello")}
	must(ch.PublishWithContext(context.Background(), "", name("nobody"), mandatory, false, message))
	select {
	case r := <-returns:
		equal([]any{r.ReplyCode, r.ReplyText, r.RoutingKey, string(r.Body)}, []any{uint16(312), "NO_ROUTE", name("nobody"), "hello"}, "return")
	case <-time.After(5 * time.Second):
		panic("no return")
	}
}

func (p *program) get() {
	ch := p.channel()
	queue := ownQueue(ch, nil)
	for _, body := range []string{"one", "two"} {
		publish(ch, "", queue, amqp.Publishing{Body: []byte(body)})
	}
	for _, redelivered := range []bool{false, true} {
		d, _, err := ch.Get(queue, false)
		must(err)
		equal([]any{string(d.Body), d.MessageCount, d.Redelivered}, []any{"one", uint32(1), redelivered}, "get")
		must(d.Nack(false, !redelivered))
	}
	equal(all(ch, queue), []string{"two"}, "the rest")
}

func (p *program) deadLetter() {
	ch := p.channel()
	dead := ownQueue(ch, nil)
	queue := ownQueue(ch, amqp.Table{
		"x-message-ttl": int32(100), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead,
	})
	publish(ch, "", queue, amqp.Publishing{Body: []byte("too late")})
	d := next(get(ch.Consume(dead, "", true, false, false, noWait, nil)))
	equal(string(d.Body), "too late", "dead letter")
	death := d.Headers["x-death"].([]any)[0].(amqp.Table)
	equal([]any{death["queue"], death["reason"], death["count"]}, []any{queue, "expired", int64(1)}, "x-death")
	equal(d.Headers["x-first-death-reason"], "expired", "x-first-death-reason")
}

func (p *program) priorities() {
	ch := p.channel()
	queue := ownQueue(ch, amqp.Table{"x-max-priority": int32(5)})
	for i, priority := range []uint8{0, 5, 1, 5, 9} {
		publish(ch, "", queue, amqp.Publishing{Priority: priority, Body: []byte(strconv.Itoa(i))})
	}
	equal(all(ch, queue), []string{"1", "3", "4", "2", "0"}, "order")
}

func (p *program) channelError() {
	ch, queue := p.channel(), name("strict")
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	get(ch.QueueDeclare(queue, false, true, true, noWait, nil))
	_, err := ch.QueueDeclare(queue, false, false, true, noWait, nil)
	var refusal *amqp.Error
	if !errors.As(err, &refusal) {
		panic(fmt.Sprint("no refusal: ", err))
	}
	text := "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '" + queue + "' in vhost '/'"
	equal(refusal.Code, 406, "code")
	equal(refusal.Reason[:len(text)], text, "text")
	equal((<-closed).Code, 406, "what listeners hear")
	equal(p.connection.IsClosed(), false, "the connection is closed")
	get(p.channel().QueueDeclarePassive(queue, false, true, true, noWait, nil))
}

// A prefetch count in bytes is part of the protocol, but no broker has it.
func (p *program) connectionError() {
	connection := get(amqp.Dial(url))
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	_ = get(connection.Channel()).Qos(0, 10, false)
	refusal := <-closed
	equal([]any{refusal.Code, refusal.Reason}, []any{540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)"}, "reply")
}

func (p *program) unknownVhost() {
	_, err := amqp.DialConfig(url, amqp.Config{Vhost: "no such vhost", Heartbeat: 10 * time.Second, Locale: "en_US"})
	if err == nil {
		panic("it was opened")
	}
}

// roundTrip sends a message and takes it again.
func (p *program) roundTrip(message amqp.Publishing) amqp.Delivery {
	ch := p.channel()
	defer ch.Close()
	queue := ownQueue(ch, nil)
	publish(ch, "", queue, message)
	return next(get(ch.Consume(queue, "", true, false, false, noWait, nil)))
}

func (p *program) largeBody() {
	body := make([]byte, 5_000_000)
	for i := range body {
		body[i] = byte(i * 7)
	}
	equal(bytes.Equal(p.roundTrip(amqp.Publishing{Body: body}).Body, body), true, "same body")
}

func (p *program) headerTypes() {
	headers := amqp.Table{
		"string": "Hasenpfote 野兎", "empty": "", "bytes": []byte{0, 255}, "true": true, "false": false,
		"byte": byte(200), "short": int16(-300), "int": int32(math.MinInt32), "long": int64(math.MaxInt64),
		"float": float32(1.5), "double": math.Pi, "decimal": amqp.Decimal{Scale: 2, Value: 1234},
		"time": time.Unix(2_147_483_648, 0), "none": nil,
		"list":  []any{int32(1), "two", []any{int32(3)}, amqp.Table{"four": int32(4)}},
		"table": amqp.Table{"nested": amqp.Table{"deep": true}},
	}
	came := p.roundTrip(amqp.Publishing{Headers: headers}).Headers
	for name, value := range headers {
		if at, isTime := value.(time.Time); isTime {
			equal(at.Equal(came[name].(time.Time)), true, name)
		} else {
			equal(came[name], value, name)
		}
	}
	equal(len(came), len(headers), "count")
}

func (p *program) properties() {
	sent := amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, Priority: 3,
		CorrelationId: "c", ReplyTo: "answers", Expiration: "60000", MessageId: "m",
		Timestamp: time.Unix(1_700_000_000, 0), Type: "hare", AppId: "shop", Body: []byte("x"),
	}
	came := p.roundTrip(sent)
	for _, field := range []string{
		"ContentType", "ContentEncoding", "DeliveryMode", "Priority", "CorrelationId", "ReplyTo", "Expiration",
		"MessageId", "Type", "AppId", "Body",
	} {
		of := func(value any) any { return reflect.ValueOf(value).FieldByName(field).Interface() }
		equal(of(came), of(sent), field)
	}
	equal(came.Timestamp.Equal(sent.Timestamp), true, "Timestamp")
}

func (p *program) unicodeNames() {
	ch, queue, exchange := p.channel(), name("Häschen-野兎-🐇"), name("Börse")
	get(ch.QueueDeclare(queue, false, false, true, noWait, nil))
	must(ch.ExchangeDeclare(exchange, "topic", false, true, false, noWait, nil))
	must(ch.QueueBind(queue, "Gras.*", exchange, noWait, nil))
	publish(ch, exchange, "Gras.grün", amqp.Publishing{})
	d, _, err := ch.Get(queue, true)
	must(err)
	equal([]string{d.Exchange, d.RoutingKey}, []string{exchange, "Gras.grün"}, "names")
}

func (p *program) goroutines() {
	queue := durableQueue(p.channel(), "crowd")
	var group sync.WaitGroup
	faults := make(chan any, 10)
	for i := 0; i < 10; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() {
				if why := recover(); why != nil {
					faults <- why
				}
			}()
			ch := get(p.connection.Channel())
			safe := get(confirming(ch))
			for n := 0; n < 100; n++ {
				equal(get(safe.publish(queue, []byte("x"))), true, "confirmed")
			}
			must(ch.Close())
		}()
	}
	group.Wait()
	select {
	case why := <-faults:
		panic(why)
	default:
	}
	equal(get(p.channel().QueueDelete(queue, false, false, noWait)), 1000, "messages")
}

func (p *program) cancelled() {
	ch := p.channel()
	queue := ownQueue(ch, nil)
	cancels := ch.NotifyCancel(make(chan string, 1))
	get(ch.Consume(queue, "reader", true, false, false, noWait, nil))
	get(p.channel().QueueDelete(queue, false, false, noWait))
	select {
	case tag := <-cancels:
		equal(tag, "reader", "consumer")
	case <-time.After(5 * time.Second):
		panic("nobody said so")
	}
}

func (p *program) heartbeats() {
	connection := get(amqp.DialConfig(url, amqp.Config{Heartbeat: time.Second, Locale: "en_US"}))
	defer connection.Close()
	time.Sleep(4 * time.Second)
	must(get(connection.Channel()).Close())
}

func (p *program) restart() {
	needRestart()
	ch, exchange := p.channel(), name("durable exchange")
	queue := durableQueue(ch, "durable")
	must(ch.ExchangeDeclare(exchange, "direct", true, false, false, noWait, nil))
	must(ch.QueueBind(queue, "key", exchange, noWait, nil))
	safe := get(confirming(ch))
	for i := 0; i < 100; i++ {
		equal(get(safe.publish(queue, []byte(strconv.Itoa(i)))), true, "confirmed")
	}
	_, _, err := ch.Get(queue, false) // in hand and not acknowledged: it comes again
	must(err)
	restartBroker()
	p.connection = get(amqp.Dial(url))
	ch = p.channel()
	publish(ch, exchange, "key", amqp.Publishing{Body: []byte("100")})
	bodies := all(ch, queue)
	equal(len(bodies), 101, "messages")
	for i, body := range bodies {
		equal(body, strconv.Itoa(i), "message")
	}
	must(ch.ExchangeDelete(exchange, false, noWait))
	get(ch.QueueDelete(queue, false, false, noWait))
}

func (p *program) reconnect() {
	needRestart()
	queue := durableQueue(p.channel(), "reconnect")
	var lock sync.Mutex
	seen := map[string]bool{}
	has := func(body string) func() bool {
		return func() bool {
			lock.Lock()
			defer lock.Unlock()
			return seen[body]
		}
	}
	done := make(chan bool)
	go func() {
		consumeForever(url, queue, has("last"), func(d amqp.Delivery) {
			lock.Lock()
			defer lock.Unlock()
			seen[string(d.Body)] = true
		})
		close(done)
	}()
	must(addWork(p.channel(), queue, []byte("first")))
	for !has("first")() {
		time.Sleep(20 * time.Millisecond)
	}
	restartBroker()
	p.connection = get(amqp.Dial(url))
	ch := p.channel()
	safe := get(confirming(ch))
	equal(get(safe.publish(queue, []byte("last"))), true, "confirmed")
	<-done
	get(ch.QueueDelete(queue, false, false, noWait))
}
