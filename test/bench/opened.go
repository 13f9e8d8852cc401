package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/ceralacca/ceralacca/internal/store"
	"github.com/ceralacca/ceralacca/internal/tracking"
	"github.com/ceralacca/ceralacca/internal/transaction"
	"github.com/ceralacca/ceralacca/pec"
)

const (
	openProvider = "Alfa PEC S.p.A."
	fillBatch    = 50_000
	openStep     = 6_180_339 // from a message to the next that is delivered: it meets all of a power of ten
	fillPages    = 0.9       // how full the pages are: rows that come in order fill them
)

// openBegan is the second of the ids of the first messages that are open, and openWithin is what passes until the last.
const (
	openBegan  = 1_600_000_000
	openWithin = 36_000
)

// openID is the id of one of n open messages: they are in order, as those of the milter are.
func openID(i, n int) string {
	return openIDAt(time.Unix(openBegan+int64(i)*openWithin/int64(n), 0), uint64(i))
}

// openIDAt is one as the milter makes it, with a number in place of its last random bits.
func openIDAt(at time.Time, number uint64) string {
	var random [11]byte
	binary.BigEndian.PutUint64(random[3:], number)
	id := transaction.NewID(at, random)
	return hex.EncodeToString(id[:])
}

// openMessage is one of them: what an accepted message to one certified recipient leaves.
func openMessage(id string, sent time.Time) (tracking.Submission, error) {
	from, err := pec.ParseAddress("mario.rossi@alfa.example")
	if err != nil {
		return tracking.Submission{}, err
	}
	to, err := pec.ParseAddress("anna.bianchi@beta.example")
	subject := "Richiesta di documentazione"
	return tracking.Submission{
		Identifier: pec.Identifier(id + "@alfa.example"), Sender: from, Subject: &subject, MessageID: "<" + id[16:] + "@client.example>",
		Recipients: []pec.Recipient{{Address: to, Type: pec.Certified}}, ReplyTo: from.String(), Receipt: pec.ReceiptComplete, Time: sent,
	}, err
}

// putOpen writes what begins a message.
func putOpen(tx store.Tx, id string, sent time.Time) error {
	s, err := openMessage(id, sent)
	if err != nil {
		return err
	}
	return errors.Join(tracking.PutSubmission(tx, id, s),
		tracking.PutWatch(tx, tracking.Watch{Transaction: id, Sent: sent, Due: sent.Add(12 * time.Hour)}))
}

// putFact writes a certificate about it.
func putFact(tx store.Tx, id string, kind tracking.FactKind, at time.Time) error {
	s, err := openMessage(id, at)
	if err != nil {
		return err
	}
	_, err = tracking.Record(tx, tracking.Fact{Sender: openProvider, Identifier: s.Identifier, Recipient: s.Recipients[0].Address, Kind: kind,
		Time: at, Provider: "Beta PEC S.r.l.", MessageID: "<" + id + "@beta.example>"})
	return err
}

// fillOpen makes a store with n open messages, sent within the last hours, every one taken charge of. It goes past package
// store, whose transactions can be taken back, for speed alone. The rows are those of package tracking: of one message in
// each batch, and of the others with their ids in its place. It leaves the list of free pages in the file, as store does.
func fillOpen(path string, n int) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	now := time.Now().Truncate(time.Second)
	for i := 0; i < n; i += fillBatch {
		sent := now.Add(-time.Duration(n-i) * (openWithin * time.Second / time.Duration(n))).Truncate(time.Second)
		err := db.Update(func(tx *bbolt.Tx) error {
			return errors.Join(fillSome(tx, i, min(i+fillBatch, n), n, sent), fillCount(tx, min(i+fillBatch, n)))
		})
		if err != nil {
			return err
		}
	}
	if err := errors.Join(db.Sync(), db.Close()); err != nil {
		return err
	}
	return forgetPages(path)
}

// fillSome writes a batch, table by table.
func fillSome(tx *bbolt.Tx, from, to, n int, sent time.Time) error {
	var first filler
	id := openID(from, n)
	if err := errors.Join(putOpen(&first, id, sent), putFact(&first, id, tracking.Taken, sent)); err != nil {
		return err
	}
	for _, row := range first.rows {
		bucket, err := tx.CreateBucketIfNotExists([]byte(row.table))
		if err != nil {
			return err
		}
		bucket.FillPercent = fillPages
		for i := from; i < to; i++ {
			own := openID(i, n)
			key := bytes.ReplaceAll(row.key, []byte(id), []byte(own))
			value := bytes.ReplaceAll(bytes.ReplaceAll(row.value, []byte(id), []byte(own)), []byte(id[16:]), []byte(own[16:]))
			if err := bucket.Put(key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillCount writes how many there are.
func fillCount(tx *bbolt.Tx, n int) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte("tracking.count"))
	if err != nil {
		return err
	}
	return bucket.Put([]byte("tracking.watch"), binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// forgetPages drops what the system keeps of a file in memory: who opens it next pays for what he reads.
func forgetPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// filler notes the rows that are written, but for the count. None was there before.
type filler struct{ rows []filled }

type filled struct {
	table      string
	key, value []byte
}

var _ store.Tx = (*filler)(nil)

func (f *filler) Get(string, []byte) ([]byte, bool) { return nil, false }

func (f *filler) Put(table string, key, value []byte) error {
	if table != "tracking.count" {
		f.rows = append(f.rows, filled{table, bytes.Clone(key), bytes.Clone(value)})
	}
	return nil
}

func (f *filler) PutNew(table string, key, value []byte) (bool, error) {
	return true, f.Put(table, key, value)
}

func (f *filler) Delete(string, []byte) error                        { return errors.ErrUnsupported }
func (f *filler) Append(string, []byte) (uint64, error)              { return 0, errors.ErrUnsupported }
func (f *filler) Scan(string, []byte, func(_, _ []byte) error) error { return errors.ErrUnsupported }
func (f *filler) ScanFrom(string, []byte, func(_, _ []byte) error) error {
	return errors.ErrUnsupported
}

// holdOpen opens the store when it is told to, and does what each line says, so many times; it answers with the seconds
// that it took, and those of the CPU.
func holdOpen(path string, n int) error {
	var s store.Store
	ages := newAges(n)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var what string
		var times int
		if _, err := fmt.Sscan(lines.Text(), &what, &times); err != nil {
			return err
		}
		begin, used := time.Now(), ownSeconds()
		var err error
		switch what {
		case "open":
			s, err = store.Open(path)
		case "events":
			err = openedEvents(s, times, ages.real)
		case "any":
			err = openedEvents(s, times, ages.any)
		case "ticks":
			err = openedTicks(s, times)
		}
		if err != nil {
			return err
		}
		fmt.Println(time.Since(begin).Seconds(), ownSeconds()-used)
	}
	if s == nil {
		return nil
	}
	return s.Close()
}

// band is a part of the messages that a store was filled with, by their age, which is gone through in jumps, each once: one that
// is delivered again writes nothing.
type band struct{ n, newest, size, done int }

func (b *band) next() string {
	b.done++
	return openID(b.n-1-b.newest-b.done*openStep%b.size, b.n)
}

// ages says about which messages certificates come.
type ages struct {
	bands [3]*band // the newest ten thousand, those of the last hour, and all others
	all   *band
	drawn int
}

// newAges: of few messages all are the newest.
func newAges(n int) *ages {
	newest, hour := min(n, openFew), n/10
	first := &band{n: n, size: newest}
	if n <= openFew {
		return &ages{bands: [3]*band{first, first, first}, all: first}
	}
	return &ages{all: &band{n: n, size: n},
		bands: [3]*band{first, {n: n, newest: newest, size: hour - newest}, {n: n, newest: hour, size: n - hour}}}
}

// real is one as of real mail: in a hundred ninety are among the newest, which are those of the last 36 seconds, nine others
// among those of the last hour, and one older still.
func (a *ages) real() string {
	a.drawn++
	switch {
	case a.drawn%100 == 0:
		return a.bands[2].next()
	case a.drawn%11 == 0:
		return a.bands[1].next()
	default:
		return a.bands[0].next()
	}
}

// any is one of all.
func (a *ages) any() string { return a.all.next() }

// openedEvents are durable one by one: in turn a new message is accepted, and one that is open is delivered.
func openedEvents(s store.Store, times int, delivered func() string) error {
	now := time.Now().Truncate(time.Second)
	for i := range times {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			if i%2 == 0 {
				return putOpen(tx, openIDAt(now, mathrand.Uint64()), now)
			}
			return putFact(tx, delivered(), tracking.Delivered, now)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// openedTicks ask what is due, as the agent does: nothing is.
func openedTicks(s store.Store, times int) error {
	now := time.Now()
	for range times {
		err := s.View(context.Background(), func(tx store.Tx) error {
			due, err := tracking.WatchesDue(tx, now, 200)
			if len(due) > 0 {
				err = errors.Join(err, errors.New("something is due"))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ownSeconds is the CPU time of this process.
func ownSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
