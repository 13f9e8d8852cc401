package store_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/ceralacca/ceralacca/internal/store"
)

// BenchmarkAppend measures durable appends by one writer and by many, who share flushes.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			var commits atomic.Int64
			s, err := store.Open(filepath.Join(b.TempDir(), "store"), store.OnCommit(func(int) { commits.Add(1) }))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			record := make([]byte, 600)
			b.ResetTimer()
			run(b, writers, func() error {
				return s.Update(b.Context(), func(tx store.Tx) error { _, err := tx.Append("log", record); return err })
			})
			b.ReportMetric(float64(commits.Load())/float64(b.N), "commits/op")
		})
	}
}

// run shares b.N calls of fn among some goroutines.
func run(b *testing.B, writers int, fn func() error) {
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, writers)
	for range writers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := fn(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPutAmongMany measures one durable row in a table that has few rows, or many.
func BenchmarkPutAmongMany(b *testing.B) {
	for _, rows := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s, err := store.Open(filepath.Join(b.TempDir(), "store"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			value := make([]byte, 150)
			key := func(n int) []byte { // scattered, as identifiers are
				return binary.BigEndian.AppendUint64(nil, uint64(n)*0x9e3779b97f4a7c15)
			}
			for from := 0; from < rows; from += 20_000 {
				err := s.Update(b.Context(), func(tx store.Tx) error {
					for n := from; n < min(from+20_000, rows); n++ {
						if err := tx.Put("t", key(n), value); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			next := rows
			b.ResetTimer()
			run(b, 1, func() error {
				next++
				return s.Update(b.Context(), func(tx store.Tx) error { return tx.Put("t", key(next), value) })
			})
		})
	}
}
