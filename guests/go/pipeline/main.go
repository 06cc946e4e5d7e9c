// Pipeline reads "name,kind,amount" lines from standard input and reports per kind: lines flow
// through goroutines joined by channels, workers share a map behind a mutex, reflection and
// formatting print the result. The garbage collector is kept busy on the way.
//
//	pipeline [-workers N] [-garbage MEGABYTES] [-fail panic|nil|deadlock|exit]
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Sale is one good input line.
type Sale struct {
	Name, Kind string
	Amount     float64
}

// Total is what a kind adds up to: count, sum, and sum of squares for the deviation.
type Total struct {
	Count        int
	Sum, Squares float64
}

func (t *Total) add(amount float64) {
	t.Count++
	t.Sum += amount
	t.Squares += amount * amount
}

func (t Total) deviation() float64 {
	mean := t.Sum / float64(t.Count)
	return math.Sqrt(math.Max(0, t.Squares/float64(t.Count)-mean*mean))
}

var line = regexp.MustCompile(`^\s*([A-Za-z][\w ]*?)\s*,\s*(\w+)\s*,\s*(-?\d+(?:\.\d+)?)\s*$`)

func parse(text string) (Sale, error) {
	match := line.FindStringSubmatch(text)
	if match == nil {
		return Sale{}, fmt.Errorf("not a sale: %q", text)
	}
	amount, err := strconv.ParseFloat(match[3], 64)
	return Sale{match[1], strings.ToLower(match[2]), amount}, err
}

func read(lines chan<- string) {
	defer close(lines)
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		lines <- scanner.Text()
	}
}

func collect(workers int) (map[string]*Total, []string) {
	lines := make(chan string, 4)
	totals := map[string]*Total{}
	var problems []string
	var lock sync.Mutex
	var group sync.WaitGroup
	go read(lines)
	for range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for text := range lines {
				sale, err := parse(text)
				lock.Lock()
				if err != nil {
					problems = append(problems, err.Error())
				} else if total, ok := totals[sale.Kind]; ok {
					total.add(sale.Amount)
				} else {
					totals[sale.Kind] = &Total{}
					totals[sale.Kind].add(sale.Amount)
				}
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	slices.Sort(problems)
	return totals, problems
}

// litter allocates many times what it keeps and returns a checksum of what it kept.
func litter(megabytes int) int {
	kept := make([][]byte, 64)
	for i := range megabytes * 16 {
		block := make([]byte, 64<<10)
		block[i%len(block)] = byte(i)
		kept[i%len(kept)] = block
	}
	sum := 0
	for i, block := range kept {
		for _, value := range block {
			sum += int(value) * (i + 1)
		}
	}
	runtime.GC()
	return sum
}

func fail(way string) {
	fmt.Println("about to fail:", way)
	switch way {
	case "panic":
		var none []int
		fmt.Println(none[len(way)])
	case "nil":
		var none *Sale
		fmt.Println(none.Name)
	case "deadlock":
		<-make(chan int)
	case "exit":
		os.Exit(7)
	}
}

func main() {
	workers := flag.Int("workers", 3, "how many goroutines parse")
	garbage := flag.Int("garbage", 0, "megabytes to allocate and drop")
	way := flag.String("fail", "", "how to end: panic, nil, deadlock or exit")
	flag.Parse()
	if *way != "" {
		fail(*way)
	}
	totals, problems := collect(*workers)
	var kinds []string
	for kind := range totals {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		total := totals[kind]
		fmt.Printf("%-8s %3d %10.2f ±%.3f %+v\n", kind, total.Count, total.Sum, total.deviation(), *total)
	}
	for _, problem := range problems {
		fmt.Println("!", problem)
	}
	if *garbage > 0 {
		fmt.Printf("littered %d MB, checksum %d\n", *garbage, litter(*garbage))
	}
}
