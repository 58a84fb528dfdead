// The Go program whose tables are a seed of the fuzz targets. Runs nowhere.
package main

func main() { println("seed") }
