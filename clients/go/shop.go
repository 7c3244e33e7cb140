package main

// The patterns of messaging with amqp091-go, as an online shop uses them. Copy what you need; main.go calls and checks them.

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// --- work queue ---

func addWork(ch *amqp.Channel, queue string, body []byte) error {
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}
	return ch.PublishWithContext(context.Background(), "", queue, false, false, message)
}

// doWork handles messages until none has come for idle; what work refuses goes back to the queue once.
func doWork(ch *amqp.Channel, queue string, prefetch int, idle time.Duration, work func([]byte) error) error {
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return err
	}
	const tag = "worker"
	deliveries, err := ch.Consume(queue, tag, false, false, false, false, nil)
	if err != nil {
		return err
	}
	for {
		select {
		case d, isOpen := <-deliveries:
			if !isOpen {
				return errors.New("the channel has closed")
			}
			if work(d.Body) == nil {
				err = d.Ack(false)
			} else {
				err = d.Reject(!d.Redelivered)
			}
			if err != nil {
				return err
			}
		case <-time.After(idle):
			return ch.Cancel(tag, false)
		}
	}
}

// --- publish and subscribe ---

// subscribe makes a queue for this subscriber alone, gone with its connection, and returns its name.
func subscribe(ch *amqp.Channel, exchange, kind, key string, arguments amqp.Table) (string, error) {
	if err := ch.ExchangeDeclare(exchange, kind, false, true, false, false, nil); err != nil {
		return "", err
	}
	queue, err := ch.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		return "", err
	}
	return queue.Name, ch.QueueBind(queue.Name, key, exchange, false, arguments)
}

// --- remote procedure call ---

const directReplyTo = "amq.rabbitmq.reply-to"

// call asks the service behind queue and returns the answer. Direct reply-to needs no reply queue.
func call(connection *amqp.Connection, queue string, question []byte) ([]byte, error) {
	ch, err := connection.Channel()
	if err != nil {
		return nil, err
	}
	defer ch.Close()
	answers, err := ch.Consume(directReplyTo, "", true, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	message := amqp.Publishing{ReplyTo: directReplyTo, CorrelationId: "1", Body: question}
	if err := ch.PublishWithContext(context.Background(), "", queue, true, false, message); err != nil {
		return nil, err
	}
	select {
	case answer := <-answers:
		return answer.Body, nil
	case <-time.After(5 * time.Second):
		return nil, errors.New("no answer")
	}
}

// serve answers every question that comes to queue, until its channel closes.
func serve(ch *amqp.Channel, queue string, answer func([]byte) []byte) error {
	questions, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	go func() {
		for q := range questions {
			reply := amqp.Publishing{CorrelationId: q.CorrelationId, Body: answer(q.Body)}
			_ = ch.PublishWithContext(context.Background(), "", q.ReplyTo, false, false, reply)
			_ = q.Ack(false)
		}
	}()
	return nil
}

// --- confirms ---

// safePublisher waits for the broker's answer to each message. The library's deferred confirmations (1.5) would be shorter,
// but an answer that is quicker than their bookkeeping is lost, and the wait for it never ends.
type safePublisher struct {
	ch       *amqp.Channel
	confirms chan amqp.Confirmation
}

// confirming puts the channel into confirm mode; nothing else may publish on it.
func confirming(ch *amqp.Channel) (safePublisher, error) {
	return safePublisher{ch, ch.NotifyPublish(make(chan amqp.Confirmation, 1))}, ch.Confirm(false)
}

// publish returns true once the broker has the message safe, false when it refused it.
func (p safePublisher) publish(queue string, body []byte) (bool, error) {
	if err := addWork(p.ch, queue, body); err != nil {
		return false, err
	}
	confirm, open := <-p.confirms
	if !open {
		return false, amqp.ErrClosed
	}
	return confirm.Ack, nil
}

// --- reconnect ---

// consumeForever connects again whenever the connection is lost. What was not acknowledged comes again.
func consumeForever(url, queue string, isDone func() bool, handle func(amqp.Delivery)) {
	for !isDone() {
		if err := consumeOnce(url, queue, isDone, handle); err != nil {
			time.Sleep(200 * time.Millisecond)
		}
	}
}

func consumeOnce(url, queue string, isDone func() bool, handle func(amqp.Delivery)) error {
	connection, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer connection.Close()
	ch, err := connection.Channel()
	if err != nil {
		return err
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for d := range deliveries {
		handle(d)
		if err := d.Ack(false); err != nil {
			return err
		}
		if isDone() {
			return nil
		}
	}
	return errors.New("the connection is lost")
}
