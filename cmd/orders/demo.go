package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// demo is the services as processes, and one consumer that asks any of them.
type demo struct {
	*mesh
	out io.Writer
}

// demoTime bounds it all.
const demoTime = 90 * time.Second

func runDemo(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	parent := f.String("dir", "", "where to make a folder for the while; the system's without it")
	if err := parse(f, args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*parent, "tidings-orders-")
	if err != nil {
		return err
	}
	d := &demo{&mesh{dir: dir, slow: 2 * time.Second, procs: map[string]*process{}}, out}
	began := time.Now()
	err = errors.Join(d.play(ctx), d.stop())
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w\nwhat the services logged is in %s", err, dir)
	}
	if err := errors.Join(context.Cause(ctx), os.RemoveAll(dir)); err != nil {
		return err
	}
	d.head("Done in %.0f s: every process has ended", time.Since(began).Seconds())
	return nil
}

func (d *demo) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	for _, scene := range []func(context.Context) error{d.up, d.through, d.killed, d.back} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// up starts everything.
func (d *demo) up(ctx context.Context) error {
	d.head("1. Three services, and the old system behind one of them, each a process")
	for _, name := range []string{"legacy", "warehouse", "fleet", "payments"} {
		p, err := d.start(ctx, name)
		if err != nil {
			return err
		}
		d.line("%-9s  http://%s  process %d", name, p.HTTP, p.cmd.Process.Pid)
	}
	return nil
}

// through has one order delivered, and one that cannot be.
func (d *demo) through(ctx context.Context) error {
	d.head("2. Two orders: there are lamps, and no desk is left")
	if err := d.place(ctx, "1001", "lamp", "49.90"); err != nil {
		return err
	}
	if err := d.place(ctx, "1002", "desk", "310.00"); err != nil {
		return err
	}
	d.line("Nobody waits for anybody. Any of the three knows what came of them:")
	d.line("")
	if err := d.becomes(ctx, "payments", "1001", func(o order) bool { return o.State == "delivered" && o.Payment.State == "captured" }); err != nil {
		return err
	}
	if err := d.becomes(ctx, "fleet", "1002", ended); err != nil {
		return err
	}
	if err := d.history(ctx, "warehouse", "1002"); err != nil {
		return err
	}
	return d.compare(ctx)
}

// compare asks where the facts are, and where they have been brought.
func (d *demo) compare(ctx context.Context) error {
	d.line("")
	for _, ask := range []struct{ who, path string }{{"legacy", "/deliveries"}, {"warehouse", "/v1/subjects/order/1001"}} {
		began := time.Now()
		if err := d.procs[ask.who].call(ctx, "GET", ask.path, "", nil); err != nil {
			return err
		}
		d.line("GET %-9s %-23s  answered in %6.1f ms", ask.who, ask.path, time.Since(began).Seconds()*1e3)
	}
	return nil
}

// killed kills payments, and places an order that needs them.
func (d *demo) killed(ctx context.Context) error {
	d.head("3. kill -9 payments, and an order that needs them")
	if err := d.procs["payments"].kill(); err != nil {
		return err
	}
	if err := d.place(ctx, "1003", "desk", "310.00"); err != nil {
		return err
	}
	var v view
	err := until(ctx, "the fleet's node says that payments are late", func() (bool, error) {
		err := d.view(ctx, "fleet", "1003", &v)
		return len(v.Late) > 0, err
	})
	if err != nil {
		return err
	}
	d.line("GET fleet /v1/subjects/order/1003?expect=true  is answered all the same, and hides nothing:")
	d.line("  status   %s", v.Status)
	d.line("  missing  %s", strings.Join(v.Missing, ", "))
	d.line("  late     %s", strings.Join(v.Late, ", "))
	return nil
}

// back starts payments again. Each refund was made once.
func (d *demo) back(ctx context.Context) error {
	d.head("4. Payments start again, and go on where they were")
	if _, err := d.start(ctx, "payments"); err != nil {
		return err
	}
	if err := d.becomes(ctx, "fleet", "1003", ended); err != nil {
		return err
	}
	if err := d.history(ctx, "fleet", "1003"); err != nil {
		return err
	}
	d.line("")
	for number, want := range map[string]int{"1001": 0, "1002": 1, "1003": 1} {
		updates, err := d.updates(ctx, "fleet", number)
		if err != nil {
			return err
		}
		if n := count(updates, "refund"); n != want {
			return fmt.Errorf("order %s was refunded %d times, not %d", number, n, want)
		}
	}
	d.line("Order 1002 and 1003 were refunded once each, 1001 was not.")
	return nil
}

// ended is whether an order that could not be picked has come to its end.
func ended(o order) bool {
	return o.State == "cancelled" && o.Payment.State == "refunded" && o.Delivery.State == "none"
}

// What a consumer does: it needs HTTP and JSON, and any of the services.

type view struct {
	Status        json.RawMessage
	Missing, Late []string
}

type update struct {
	ID, Authority, Cause, Hook string
	Time                       time.Time
	Delta                      json.RawMessage
}

func (d *demo) place(ctx context.Context, number, item, amount string) error {
	body := fmt.Sprintf(`{"items":{%q:1},"amount":%s}`, item, amount)
	d.line("PUT warehouse /orders/%s  %s", number, body)
	return d.procs["warehouse"].call(ctx, "PUT", "/orders/"+number, body, nil)
}

// view asks a service for an order. One that it has not heard of yet is empty.
func (m *mesh) view(ctx context.Context, who, number string, into *view) error {
	err := m.procs[who].call(ctx, "GET", "/v1/subjects/order/"+number+"?expect=true", "", into)
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

// wait polls a service until an order is as it should be.
func (m *mesh) wait(ctx context.Context, who, number string, as func(order) bool) (o order, err error) {
	var v view
	err = until(ctx, "order "+number+" at "+who, func() (bool, error) {
		if err := m.view(ctx, who, number, &v); err != nil || v.Status == nil {
			return false, err
		}
		o = order{}
		return json.Unmarshal(v.Status, &o) == nil && as(o), nil
	})
	if err != nil {
		return o, fmt.Errorf("%w; it is %s", err, v.Status)
	}
	return o, nil
}

// becomes waits for an order, and shows it.
func (d *demo) becomes(ctx context.Context, who, number string, as func(order) bool) error {
	if _, err := d.wait(ctx, who, number, as); err != nil {
		return err
	}
	var v view
	if err := d.view(ctx, who, number, &v); err != nil {
		return err
	}
	d.line("GET %s /v1/subjects/order/%s", who, number)
	d.line("  %s", v.Status)
	return nil
}

// updates are an order's, in stitched order.
func (m *mesh) updates(ctx context.Context, who, number string) ([]update, error) {
	var h struct{ Updates []update }
	err := m.procs[who].call(ctx, "GET", "/v1/history/order/"+number, "", &h)
	return h.Updates, err
}

// history shows an order's updates, and what each of them answers.
func (d *demo) history(ctx context.Context, who, number string) error {
	updates, err := d.updates(ctx, who, number)
	if err != nil {
		return err
	}
	d.line("")
	d.line("GET %s /v1/history/order/%s   who said what, and in answer to what", who, number)
	names := map[string]string{"": "-"}
	for _, u := range updates {
		_, seq, _ := strings.Cut(u.ID, ".")
		names[u.ID] = u.Authority + "." + seq
		d.line("  %s  %-11s  %-9s  <- %-11s  %s", u.Time.Format("15:04:05.000"), names[u.ID], cmp.Or(u.Hook, "-"), names[u.Cause], brief(u.Delta))
	}
	return nil
}

// count is how many updates a hook made.
func count(updates []update, hook string) (n int) {
	for _, u := range updates {
		if u.Hook == hook {
			n++
		}
	}
	return n
}

// brief is a delta without what it only takes away.
func brief(delta json.RawMessage) string {
	return strings.NewReplacer(`"message":null,`, "", `"reason":null,`, "", `,"url":null`, "").Replace(string(delta))
}

func (d *demo) head(format string, args ...any) {
	fmt.Fprintf(d.out, "\n%s\n\n", fmt.Sprintf(format, args...))
}

func (d *demo) line(format string, args ...any) {
	fmt.Fprintln(d.out, strings.TrimRight("  "+fmt.Sprintf(format, args...), " "))
}
