// A service in Go: any http.Handler, answered by net/http/cgi. What is written to standard error is the site's log.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
)

func main() {
	log.SetFlags(0)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", greet)
	mux.HandleFunc("POST /count", count)
	mux.HandleFunc("GET /numbers", numbers)
	mux.HandleFunc("/{$}", only("GET, HEAD"))
	mux.HandleFunc("/count", only("POST"))
	mux.HandleFunc("/numbers", only("GET, HEAD"))
	mux.HandleFunc("/", missing)
	if err := cgi.Serve(mux); err != nil {
		log.Fatal(err)
	}
}

func text(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
}

func greet(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if name == "" {
		name = "world"
	}
	text(w)
	fmt.Fprintf(w, "hello, %s, from Go\n", name)
}

// Reads the body as it comes: it need not fit into memory.
func count(w http.ResponseWriter, r *http.Request) {
	var size, lines int
	buffer := make([]byte, 16<<10)
	for {
		got, err := r.Body.Read(buffer)
		size += got
		lines += bytes.Count(buffer[:got], []byte{'\n'})
		if err == io.EOF {
			break
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	text(w)
	fmt.Fprintf(w, "%d bytes, %d lines\n", size, lines)
}

// Writes more than the server buffers: the client gets it while it is written.
func numbers(w http.ResponseWriter, _ *http.Request) {
	text(w)
	out := bufio.NewWriter(w)
	defer out.Flush()
	for number := 1; number <= 100_000; number++ {
		fmt.Fprintln(out, number)
	}
}

func only(allowed string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allowed)
		text(w)
		w.WriteHeader(http.StatusMethodNotAllowed)
		fmt.Fprintf(w, "allowed here: %s\n", allowed)
	}
}

func missing(w http.ResponseWriter, r *http.Request) {
	log.Printf("nothing for %s %s", r.Method, r.URL.Path)
	text(w)
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintf(w, "there is nothing at %s\n", r.URL.Path)
}
