// Shortest routes in a road map read from standard input.
//
//   routes FROM TO [TO...]
//
// Each input line is "TOWN TOWN KILOMETRES", a two-way road. Dijkstra's algorithm with a priority
// queue, towns numbered by a hash map, output through string streams with fixed formatting.

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <limits>
#include <map>
#include <queue>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

struct Road {
    int to;
    double length;
};

class RoadMap {
public:
    // The number of a town, given to it on first sight.
    int town(const std::string &name)
    {
        auto [entry, is_new] = numbers_.try_emplace(name, static_cast<int>(names_.size()));
        if (is_new) {
            names_.push_back(name);
            roads_.emplace_back();
        }
        return entry->second;
    }

    void add(const std::string &a, const std::string &b, double length)
    {
        int from = town(a), to = town(b);
        roads_[from].push_back({to, length});
        roads_[to].push_back({from, length});
    }

    bool knows(const std::string &name) const { return numbers_.count(name) != 0; }
    std::size_t size() const { return names_.size(); }
    const std::string &name(int town) const { return names_[town]; }
    const std::vector<Road> &roads(int town) const { return roads_[town]; }

private:
    std::unordered_map<std::string, int> numbers_;
    std::vector<std::string> names_;
    std::vector<std::vector<Road>> roads_;
};

struct Routes {
    std::vector<double> distance;
    std::vector<int> previous;
};

Routes shortest(const RoadMap &map, int from)
{
    Routes routes{std::vector<double>(map.size(), std::numeric_limits<double>::infinity()),
                  std::vector<int>(map.size(), -1)};
    using Entry = std::pair<double, int>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> frontier;
    routes.distance[from] = 0;
    frontier.emplace(0, from);
    while (!frontier.empty()) {
        auto [distance, town] = frontier.top();
        frontier.pop();
        if (distance > routes.distance[town])
            continue;
        for (const Road &road : map.roads(town))
            if (distance + road.length < routes.distance[road.to]) {
                routes.distance[road.to] = distance + road.length;
                routes.previous[road.to] = town;
                frontier.emplace(distance + road.length, road.to);
            }
    }
    return routes;
}

std::string describe(const RoadMap &map, const Routes &routes, int to)
{
    std::vector<std::string> path;
    for (int town = to; town >= 0; town = routes.previous[town])
        path.push_back(map.name(town));
    std::reverse(path.begin(), path.end());
    std::ostringstream text;
    text << std::fixed << std::setprecision(1) << std::setw(8) << routes.distance[to] << " km ";
    for (const std::string &town : path)
        text << ' ' << town;
    return text.str();
}

bool read(RoadMap &map)
{
    std::string line;
    for (int number = 1; std::getline(std::cin, line); number++) {
        std::istringstream fields(line);
        std::string a, b;
        double length;
        if (line.empty() || line[0] == '#')
            continue;
        if (!(fields >> a >> b >> length) || length < 0) {
            std::cerr << "routes: line " << number << ": expected TOWN TOWN KILOMETRES\n";
            return false;
        }
        map.add(a, b, length);
    }
    return true;
}

} // namespace

int main(int argc, char **argv)
{
    RoadMap map;
    if (argc < 3 || !read(map))
        return 2;
    int from = map.town(argv[1]);
    Routes routes = shortest(map, from);
    for (int i = 2; i < argc; i++) {
        if (!map.knows(argv[i]))
            std::cout << "     no such town: " << argv[i] << '\n';
        else if (routes.distance[map.town(argv[i])] == std::numeric_limits<double>::infinity())
            std::cout << "     no road leads to " << argv[i] << '\n';
        else
            std::cout << describe(map, routes, map.town(argv[i])) << '\n';
    }
    std::map<int, int> crossings; // roads at a town -> towns
    for (std::size_t town = 0; town < map.size(); town++)
        crossings[static_cast<int>(map.roads(static_cast<int>(town)).size())]++;
    for (auto [roads, towns] : crossings)
        std::cout << towns << " towns have " << roads << " roads\n";
    return 0;
}
