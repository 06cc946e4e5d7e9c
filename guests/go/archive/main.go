// Archive packs the files of a directory into one gzipped tar file with a JSON index beside it,
// unpacks it elsewhere, and proves that nothing was lost.
//
//	archive DIR
//
// DIR must hold the files to pack; `packed.tar.gz`, `index.json` and `unpacked/` appear in it.
package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Entry describes one packed file.
type Entry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Sha256 string `json:"sha256"`
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// find lists the files below dir, by name.
func find(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	sort.Strings(names)
	return names, err
}

func pack(dir string, names []string) ([]Entry, error) {
	file, err := os.Create(filepath.Join(dir, "packed.tar.gz"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	zipped := gzip.NewWriter(file)
	packed := tar.NewWriter(zipped)
	var index []Entry
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}
		if err := packed.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := packed.Write(data); err != nil {
			return nil, err
		}
		index = append(index, Entry{name, header.Size, digest(data)})
	}
	return index, errors.Join(packed.Close(), zipped.Close())
}

func unpack(dir, into string) error {
	file, err := os.Open(filepath.Join(dir, "packed.tar.gz"))
	if err != nil {
		return err
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	packed := tar.NewReader(zipped)
	for {
		header, err := packed.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(packed)
		if err != nil {
			return err
		}
		path := filepath.Join(into, header.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
}

func compare(dir string, index []Entry) error {
	for _, entry := range index {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name))
		if err != nil {
			return err
		}
		if digest(data) != entry.Sha256 {
			return fmt.Errorf("%s: unpacked to something else", entry.Name)
		}
		fmt.Printf("%s %6d %s\n", entry.Sha256, entry.Size, entry.Name)
	}
	return nil
}

func run(dir string) error {
	// A file that compresses well and one that is longer than any buffer on the way.
	long := strings.Repeat("over and under, ", 20000)
	if err := os.WriteFile(filepath.Join(dir, "long.txt"), []byte(long), 0o644); err != nil {
		return err
	}
	names, err := find(dir)
	if err != nil {
		return err
	}
	index, err := pack(dir, names)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), text, 0o644); err != nil {
		return err
	}
	into := filepath.Join(dir, "unpacked")
	if err := unpack(dir, into); err != nil {
		return err
	}
	return compare(into, index)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: archive DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}
