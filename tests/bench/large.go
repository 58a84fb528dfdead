// A Go program of many packages, for what symbols cost. Waits on its standard input.
package main

import (
	"bufio"
	"database/sql"
	"encoding/gob"
	"encoding/xml"
	"fmt"
	"go/types"
	"html/template"
	"image/png"
	"net/http"
	"net/rpc"
	"os"
)

var keep = []interface{}{
	sql.Open, gob.NewEncoder, xml.NewEncoder, types.NewPackage, template.New, png.Encode, http.ListenAndServe,
	rpc.NewServer,
}

//go:noinline
func work(line string) int {
	sum := 0
	for _, char := range line {
		sum += int(char)
	}
	return sum + len(keep)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(work(lines.Text()))
	}
}
