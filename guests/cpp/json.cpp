// Reads a JSON document from standard input and prints it again: indented, the members of each
// object sorted, then a line of statistics. `json --nest N` reads N nested arrays instead.
//
// A tree of owned nodes with virtual functions, a recursive-descent reader without exceptions.

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

struct Statistics {
    int values = 0, depth = 0;
    double sum = 0;
};

class Value {
public:
    virtual ~Value() = default;
    virtual void print(std::string &out, int indent) const = 0;
    virtual void count(Statistics &total, int depth) const
    {
        total.values++;
        total.depth = std::max(total.depth, depth);
    }
};
using Node = std::unique_ptr<Value>;

class Literal final : public Value { // true, false, null
public:
    explicit Literal(std::string text) : text_(std::move(text)) {}
    void print(std::string &out, int) const override { out += text_; }

private:
    std::string text_;
};

class Number final : public Value {
public:
    explicit Number(double value) : value_(value) {}
    void print(std::string &out, int) const override
    {
        char text[32];
        std::snprintf(text, sizeof text, "%.15g", value_);
        out += text;
    }
    void count(Statistics &total, int depth) const override
    {
        Value::count(total, depth);
        total.sum += value_;
    }

private:
    double value_;
};

class String final : public Value {
public:
    explicit String(std::string raw) : raw_(std::move(raw)) {}
    void print(std::string &out, int) const override { out += '"' + raw_ + '"'; }

private:
    std::string raw_; // escapes left as they were written
};

void new_line(std::string &out, int indent) { out += '\n' + std::string(2 * static_cast<std::size_t>(indent), ' '); }

class Array final : public Value {
public:
    std::vector<Node> items;
    void print(std::string &out, int indent) const override
    {
        out += '[';
        for (const Node &item : items) {
            out += &item == &items.front() ? "" : ",";
            new_line(out, indent + 1);
            item->print(out, indent + 1);
        }
        if (!items.empty())
            new_line(out, indent);
        out += ']';
    }
    void count(Statistics &total, int depth) const override
    {
        Value::count(total, depth);
        for (const Node &item : items)
            item->count(total, depth + 1);
    }
};

class Object final : public Value {
public:
    std::map<std::string, Node> members;
    void print(std::string &out, int indent) const override
    {
        out += '{';
        for (auto member = members.begin(); member != members.end(); ++member) {
            out += member == members.begin() ? "" : ",";
            new_line(out, indent + 1);
            out += '"' + member->first + "\": ";
            member->second->print(out, indent + 1);
        }
        if (!members.empty())
            new_line(out, indent);
        out += '}';
    }
    void count(Statistics &total, int depth) const override
    {
        Value::count(total, depth);
        for (const auto &[name, value] : members)
            value->count(total, depth + 1);
    }
};

class Reader {
public:
    explicit Reader(const std::string &text) : text_(text) {}

    Node document()
    {
        Node value = this->value();
        return value && peek() == 0 ? std::move(value) : nullptr;
    }
    std::size_t position() const { return at_; }

private:
    char peek()
    {
        while (at_ < text_.size() && std::string(" \t\r\n").find(text_[at_]) != std::string::npos)
            at_++;
        return at_ < text_.size() ? text_[at_] : 0;
    }
    bool accept(char c) { return peek() == c && ++at_; }

    Node value()
    {
        switch (peek()) {
        case '{': return object();
        case '[': return array();
        case '"': return string();
        case 't': return literal("true");
        case 'f': return literal("false");
        case 'n': return literal("null");
        default: return number();
        }
    }

    Node literal(const char *word)
    {
        std::string expected(word);
        if (text_.compare(at_, expected.size(), expected) != 0)
            return nullptr;
        at_ += expected.size();
        return std::make_unique<Literal>(expected);
    }

    Node number()
    {
        const char *start = text_.c_str() + at_;
        char *end;
        double value = std::strtod(start, &end);
        at_ += static_cast<std::size_t>(end - start);
        return end == start ? nullptr : std::make_unique<Number>(value);
    }

    bool raw_string(std::string &raw)
    {
        if (!accept('"'))
            return false;
        for (; at_ < text_.size() && text_[at_] != '"'; at_++) {
            if (text_[at_] == '\\' && at_ + 1 < text_.size())
                raw += text_[at_++];
            raw += text_[at_];
        }
        return accept('"');
    }

    Node string()
    {
        std::string raw;
        return raw_string(raw) ? std::make_unique<String>(raw) : nullptr;
    }

    Node array()
    {
        auto array = std::make_unique<Array>();
        accept('[');
        while (!accept(']')) {
            if (!array->items.empty() && !accept(','))
                return nullptr;
            Node item = value();
            if (!item)
                return nullptr;
            array->items.push_back(std::move(item));
        }
        return array;
    }

    Node object()
    {
        auto object = std::make_unique<Object>();
        accept('{');
        while (!accept('}')) {
            std::string name;
            if ((!object->members.empty() && !accept(',')) || !(peek(), raw_string(name)) || !accept(':'))
                return nullptr;
            Node member = value();
            if (!member)
                return nullptr;
            object->members[name] = std::move(member);
        }
        return object;
    }

    const std::string &text_;
    std::size_t at_ = 0;
};

} // namespace

int main(int argc, char **argv)
{
    bool nest = argc == 3 && std::string(argv[1]) == "--nest";
    std::size_t levels = nest ? std::strtoul(argv[2], nullptr, 10) : 0;
    std::string text = nest ? std::string(levels, '[') + std::string(levels, ']')
                            : std::string(std::istreambuf_iterator<char>(std::cin), {});
    Reader reader(text);
    Node document = reader.document();
    if (!document) {
        std::cerr << "json: not a JSON document at byte " << reader.position() << '\n';
        return 1;
    }
    std::string out;
    Statistics total;
    document->count(total, 1);
    if (!nest)
        document->print(out, 0);
    std::printf("%s%s%d values, %d deep, numbers sum to %.6g\n", out.c_str(), nest ? "" : "\n", total.values, total.depth,
                total.sum);
    return 0;
}
