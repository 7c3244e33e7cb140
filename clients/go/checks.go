package main

import (
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"time"
)

// Checks runs checks one after another and counts them.
type Checks struct{ passed, failed int }

// Skipped is the panic of a check that cannot be done here, with the reason.
type Skipped string

const limit = 40 * time.Second

// Check calls work, which panics to fail; one that does not end in time has failed too.
func (c *Checks) Check(what string, work func()) {
	outcome := make(chan any, 1)
	go func() {
		defer func() { outcome <- recover() }()
		work()
	}()
	select {
	case why := <-outcome:
		switch why := why.(type) {
		case nil:
			c.passed++
			fmt.Println("ok", what)
		case Skipped:
			fmt.Printf("skipped: %s: %s\n", what, string(why))
		default:
			c.fail(what, why)
		}
	case <-time.After(limit):
		c.fail(what, fmt.Sprintf("no end after %s", limit))
	}
}

func (c *Checks) fail(what string, why any) {
	c.failed++
	fmt.Printf("FAILED %s: %s\n", what, strings.Join(strings.Fields(fmt.Sprint(why)), " "))
}

// Finish prints the sum and ends the program.
func (c *Checks) Finish() {
	fmt.Printf("%d passed, %d failed\n", c.passed, c.failed)
	if c.failed > 0 || c.passed == 0 {
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func get[T any](value T, err error) T {
	must(err)
	return value
}

func equal(actual, expected any, what string) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("%s: %.200v instead of %.200v", what, actual, expected))
	}
}

func environment(name, standard string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return standard
}

// needRestart returns the command that kills the broker and starts it again: same port, same data.
func needRestart() string {
	command := os.Getenv("LEVERET_RESTART")
	if command == "" {
		panic(Skipped("no LEVERET_RESTART"))
	}
	return command
}

func restartBroker() {
	if output, err := exec.Command("sh", "-c", needRestart()).CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, output))
	}
}
