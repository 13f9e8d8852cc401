package directory

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// large writes a directory of domains that so many providers manage, each with a certificate.
func large(t testing.TB, providers, domains int) []byte {
	t.Helper()
	var b strings.Builder
	b.WriteString(base)
	for i := range providers {
		var list strings.Builder
		for j := range domains / providers {
			fmt.Fprintf(&list, "comune-%d.provincia-%d.pec.example ", j, i)
		}
		b.WriteString(record(fmt.Sprintf("Provider %d", i), list.String(), certificate(t, "p")))
	}
	return []byte(b.String())
}

// BenchmarkParse reads a directory of 100,000 domains. bytes/directory is what it holds of the memory after.
func BenchmarkParse(b *testing.B) {
	for _, providers := range []int{25, 1} {
		data := large(b, providers, 100_000)
		b.Run(fmt.Sprintf("providers=%d", providers), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var before, after runtime.MemStats
			var s *Snapshot
			for b.Loop() {
				s = nil
				runtime.GC()
				runtime.ReadMemStats(&before)
				var err error
				if s, err = Parse(data); err != nil {
					b.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc), "held-bytes")
			runtime.KeepAlive(s)
		})
	}
}

// BenchmarkLookup asks for a domain, and whether its record manages it, in a directory of 100,000.
func BenchmarkLookup(b *testing.B) {
	s, err := Parse(large(b, 1, 100_000))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, ok := s.ByDomain("Comune-99999.provincia-0.pec.example")
		if !ok || !r.Manages("comune-99999.provincia-0.pec.example") {
			b.Fatal("it is not there")
		}
	}
}
